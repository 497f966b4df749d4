// Schemas that a gateway must preserve keyword by keyword.

import { fromJsonSchema } from '@modelcontextprotocol/server';

export const RICH_SCHEMA = fromJsonSchema({
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } }
    }
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' }
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false
});

export const HEADER_SCHEMA = fromJsonSchema({
  type: 'object',
  properties: { region: { type: 'string', 'x-mcp-header': 'Region' } }
});

const form = properties => ({ type: 'object', properties, required: Object.keys(properties) });

export const NAME_FORM = form({ name: { type: 'string' } });
export const COLOR_FORM = form({ color: { type: 'string' } });
export const CONTEXT_FORM = form({ context: { type: 'string' } });
export const CONFIRM_FORM = form({ ok: { type: 'boolean' } });
export const CONTACT_FORM = form({
  username: { type: 'string', description: "User's response" },
  email: { type: 'string', description: "User's email address" }
});

export const DEFAULTS_FORM = {
  type: 'object',
  properties: {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true }
  }
};

const options = ['option1', 'option2', 'option3'];
const titled = options.map((value, at) => ({ const: value, title: `Option number ${at + 1}` }));

export const ENUMS_FORM = {
  type: 'object',
  properties: {
    untitledSingle: { type: 'string', enum: options },
    titledSingle: { type: 'string', oneOf: titled },
    legacyEnum: { type: 'string', enum: options, enumNames: titled.map(({ title }) => title) },
    untitledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { type: 'string', enum: options } },
    titledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { anyOf: titled } }
  }
};
