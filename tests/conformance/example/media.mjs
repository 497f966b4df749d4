// Minimal valid media: a PNG with one red pixel, and a WAV file without samples.

export const IMAGE = {
  type: 'image',
  mimeType: 'image/png',
  data: 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=='
};

export const AUDIO = {
  type: 'audio',
  mimeType: 'audio/wav',
  data: 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA='
};

export const text = words => ({ type: 'text', text: words });

export const content = (...parts) => ({ content: parts });

export const pause = () => new Promise(resume => setTimeout(resume, 50));
