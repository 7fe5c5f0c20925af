// A worker for Node: the packages write-file-atomic and proper-lockfile, as their own pages say how to use them.
"use strict";
const fs = require("node:fs/promises");
const readline = require("node:readline");
const lockfile = require("proper-lockfile");
const writeFileAtomic = require("write-file-atomic");
const { STRESS_IN, STRESS_OUT, STRESS_ERR } = process.env;

const RETRIES = { retries: 1000, factor: 1, minTimeout: 2, maxTimeout: 20, randomize: true };

async function locked(file, work) {
  const release = await lockfile.lock(file, { realpath: false, retries: RETRIES });
  try {
    await work();
  } finally {
    await release();
  }
}

// What an update is to do: a list of edits, each with a path and one of set, add and copy.
async function edit(document, edits) {
  const key = (where, name) => (Array.isArray(where) && name < 0 ? where.length + name : name);
  const get = (where, names) => names.reduce((at, name) => at?.[key(at, name)], where);
  for (const { path: names, ...how } of edits) {
    let where = document;
    for (const name of names.slice(0, -1)) {
      if (Array.isArray(where) && name >= where.length) where = {}; // no such entry: the edit does nothing
      where = where[key(where, name)] ??= {};
    }
    const last = key(where, names.at(-1));
    if ("copy" in how) {
      where[last] = get(document, how.copy) ?? null;
      await fs.writeFile(STRESS_ERR, `stress-parent:${where[last]};`); // the version that the update starts from
    } else if ("add" in how) where[last] = (where[last] ?? 0) + how.add;
    else where[last] = how.set;
  }
  return document;
}

const operations = {
  write: (file) => locked(file, async () => writeFileAtomic(file, await fs.readFile(STRESS_IN))),
  read: async (file) => fs.writeFile(STRESS_OUT, await fs.readFile(file)),
  update: (file) =>
    locked(file, async () => {
      const edits = JSON.parse(await fs.readFile(STRESS_IN, "utf8"));
      const document = await edit(JSON.parse(await fs.readFile(file, "utf8")), edits);
      await writeFileAtomic(file, JSON.stringify(document));
    }),
};

async function main() {
  console.log(`hello 1 ${Object.keys(operations).join(" ")} update=edits`);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [, sequence, operation, name] = /^(\d+) (\w+) (.*)$/.exec(line);
    let status = 0;
    try {
      await operations[operation](name);
    } catch (error) {
      await fs.writeFile(STRESS_ERR, String(error));
      status = operation === "read" && error.code === "ENOENT" ? 66 : 70;
    }
    console.log(`${sequence} ${status}`);
  }
}

main();
