/**
 * The user and the password of a URL. Unlike the standard's `EventSource`, `fetch`
 * refuses or ignores them on most runtimes.
 *
 * @module
 */

/**
 * Moves the user and the password of a URL to the header `Authorization`, unless
 * there is one. Returns the URL without them.
 *
 * @see {@link https://fetch.spec.whatwg.org/#http-network-or-cache-fetch}
 */
export function takeCredentials(text: string, headers: Headers): URL {
  const url = new URL(text);
  const { username, password } = url;
  if ((username || password) && !headers.has("Authorization")) {
    // `unescape` gives a character for each byte, as `btoa` takes it, but would
    // also decode `%u2603`, which a URL does not.
    const user = `${username}:${password}`.replaceAll("%u", "%25u");
    headers.set("Authorization", `Basic ${btoa(unescape(user))}`);
  }
  url.username = url.password = "";
  return url;
}
