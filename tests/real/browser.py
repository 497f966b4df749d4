"""A person's browser at a sign-in: follows redirects, keeps cookies, and sends every form as a person would."""

import html
import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request

from processes import Failure

FORM = re.compile(r'<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>', re.S)
FIELD = re.compile(r"<(?:input|button)[^>]*>")
ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
MOST_PAGES = 8


def sign_in(url):
    """Opens the address and sends forms until a page has none. Returns the text of that page."""
    browser = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    )
    data = None
    for _ in range(MOST_PAGES):
        try:
            with browser.open(url, data, timeout=20) as page:
                text, at = page.read().decode(), page.geturl()
        except urllib.error.HTTPError as error:
            raise Failure(f"the sign-in page {url}: HTTP {error.code}: {words_of(error.read().decode())}") from None
        form = FORM.search(text)
        if not form:
            return words_of(text)
        url = urllib.parse.urljoin(at, html.unescape(form[1]))
        data = urllib.parse.urlencode(filled(form[2])).encode()
    raise Failure(f"more than {MOST_PAGES} pages at a sign-in, the last at {url}")


def filled(form):
    """The fields of a form: those with a value keep it, the others get a name. Nothing is aborted."""
    fields = {}
    for tag in FIELD.finditer(form):
        attributes = dict(ATTRIBUTE.findall(tag[0]))
        name = attributes.get("name")
        if name and name not in fields and name != "abort":
            fields[name] = html.unescape(attributes.get("value", "")) or "ada"
    return fields


def words_of(page):
    """The text of a page."""
    without = re.sub(r"<(style|script).*?</\1>|<[^>]+>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", without).strip()[:300]
