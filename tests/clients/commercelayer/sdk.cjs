// Calls Commerce Layer's SDK as it is told, a line of JSON for each call, and answers each with a line.
"use strict";

const { createRequire } = require("node:module");
const { createInterface } = require("node:readline");

const [, , folder, name] = process.argv;
const installed = createRequire(`${folder}/package.json`);
const { CommerceLayer } = installed(`${name}/bundle`);

let client;
let refreshed = 0;

// As Commerce Layer's documentation does it: with its own package for authentication.
async function refreshToken(credentials) {
  const { authenticate } = await import(installed.resolve("@commercelayer/js-auth"));
  const { accessToken } = await authenticate("client_credentials", credentials);
  refreshed += 1;
  return accessToken;
}

async function answer({ config, credentials, path, args }) {
  if (config) {
    client = CommerceLayer({ ...config, refreshToken: credentials && (() => refreshToken(credentials)) });
    return {};
  }
  const [resource, method] = path.split(".");
  try {
    const value = await client[resource][method](...args);
    return { value: value ?? null, meta: value?.meta, refreshed };
  } catch (error) {
    const { name, message, type, status, code, errors } = error;
    return { error: { name, message, type, status, code, errors } };
  }
}

createInterface({ input: process.stdin }).on("line", async (line) => {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
});
