// Calls Rebilly's SDK as it is told, a line of JSON for each call, and answers each with a line.
"use strict";

const { createRequire } = require("node:module");
const { createInterface } = require("node:readline");
const { createHash } = require("node:crypto");
const { writeFileSync } = require("node:fs");

const [, , folder] = process.argv;
const installed = createRequire(`${folder}/package.json`);
const found = installed("rebilly-js-sdk");
const RebillyAPI = found.default ?? found;

let client;

function told(value) {
  const { fields, items, total, limit, offset, response } = value ?? {};
  return {
    fields,
    items: items?.map((one) => one.fields),
    page: items && { total, limit, offset },
    status: response?.status,
  };
}

// Of a file, its hash: and the file itself in a place that is named.
function kept(value, place) {
  const data = Buffer.from(value.data);
  writeFileSync(place, data);
  return { length: data.length, sha1: createHash("sha1").update(data).digest("hex") };
}

async function answer({ config, token, path, args, place }) {
  if (config) client = RebillyAPI(config);
  if (token) client.setSessionToken(token);
  if (!path) return {};
  const [resource, method] = path.split(".");
  try {
    const value = await client[resource][method](...args);
    return { value: place ? kept(value, place) : told(value) };
  } catch (error) {
    const { name, message, status, invalidFields, response } = error;
    return { error: { name, message, status, invalidFields, body: response?.data } };
  }
}

createInterface({ input: process.stdin }).on("line", async (line) => {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
});
