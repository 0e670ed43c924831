// Loaded before a client of Commerce Layer's: what it sends to its fixed hosts goes to a sandbox, all else is refused.
"use strict";

const sandbox = process.env.SANDBOX;
const original = globalThis.fetch;

globalThis.fetch = (input, init) => {
  const request = new Request(input, init);
  const url = new URL(request.url);
  if (url.hostname.endsWith(".commercelayer.io")) {
    return original(new Request(new URL(url.pathname + url.search, sandbox), request));
  }
  if (url.hostname === "127.0.0.1") return original(request);
  throw new Error(`A client wants to reach ${url.hostname}.`);
};
