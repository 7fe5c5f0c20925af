// A worker for Node that needs no package: temp file and rename, under a lock that is a directory.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");
const { STRESS_IN, STRESS_OUT, STRESS_ERR } = process.env;

function replace(file, content) {
  const temp = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.tmp`);
  const fd = fs.openSync(temp, "wx", 0o600);
  try {
    fs.writeFileSync(fd, content);
    if (fs.existsSync(file)) fs.fchmodSync(fd, fs.statSync(file).mode & 0o777);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
  fs.renameSync(temp, file);
}

function locked(file, work) {
  const lock = path.join(path.dirname(file), `.${path.basename(file)}.lock`);
  for (;;) {
    try {
      fs.mkdirSync(lock);
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2); // sleep for 2 ms
    }
  }
  try {
    return work();
  } finally {
    fs.rmdirSync(lock);
  }
}

// What an update is to do: a list of edits, each with a path and one of set, add and copy.
function edit(document, edits) {
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
      fs.writeFileSync(STRESS_ERR, `stress-parent:${where[last]};`); // the version that the update starts from
    } else if ("add" in how) where[last] = (where[last] ?? 0) + how.add;
    else where[last] = how.set;
  }
  return document;
}

const operations = {
  write: (file) => locked(file, () => replace(file, fs.readFileSync(STRESS_IN))),
  read: (file) => fs.writeFileSync(STRESS_OUT, fs.readFileSync(file)),
  update: (file) =>
    locked(file, () => {
      const edits = JSON.parse(fs.readFileSync(STRESS_IN, "utf8"));
      replace(file, JSON.stringify(edit(JSON.parse(fs.readFileSync(file, "utf8")), edits)));
    }),
  append: (file) => locked(file, () => fs.appendFileSync(file, fs.readFileSync(STRESS_IN))),
};

async function main() {
  console.log(`hello 1 ${Object.keys(operations).join(" ")} update=edits`);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [, sequence, operation, name] = /^(\d+) (\w+) (.*)$/.exec(line);
    let status = 0;
    try {
      operations[operation](fs.existsSync(name) ? fs.realpathSync(name) : name);
    } catch (error) {
      fs.writeFileSync(STRESS_ERR, String(error));
      status = operation === "read" && error.code === "ENOENT" ? 66 : 70;
    }
    console.log(`${sequence} ${status}`);
  }
}

main();
