// Calls Shlink's own client: client.mjs MODULES URL KEY
//
// MODULES is the directory that npm installed it to. For each line of the input, a JSON array of a
// method and its arguments, it prints a line: what the method answered as JSON, or {"raised": …} with
// the error that came of it. The methods `fetch.NAME` and `node.NAME` choose one of its two ways to
// speak HTTP.

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [modules, baseUrl, apiKey] = process.argv.slice(2);
const installed = createRequire(pathToFileURL(`${modules}/`));
const load = async (part) => {
  const entry = installed.resolve('@shlinkio/shlink-js-sdk/package.json');
  return import(new URL(`dist/${part}.js`, pathToFileURL(entry)));
};
const { ShlinkApiClient } = await load('index');
const { FetchHttpClient } = await load('fetch');
const { NodeHttpClient } = await load('node');
const clients = {
  fetch: new ShlinkApiClient(new FetchHttpClient(), { baseUrl, apiKey }),
  node: new ShlinkApiClient(new NodeHttpClient(), { baseUrl, apiKey }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...parameters] = JSON.parse(line);
  const [way, method] = name.split('.');
  let answer;
  try {
    answer = (await clients[way][method](...parameters)) ?? null;
  } catch (error) {
    answer = { raised: error instanceof Error ? String(error.stack) : error };
  }
  console.log(JSON.stringify(answer));
}
