#!/usr/bin/env node
// Starts the executable of this platform's package, with the same arguments and the same stdin, stdout and stderr.
"use strict";

const { spawn } = require("node:child_process");
const { constants } = require("node:os");

const own = require("./package.json").name;
const platform = `${own}-${process.platform}-${process.arch}`;
const file = process.platform === "win32" ? "sentinel-gateway.exe" : "sentinel-gateway";

let executable;
try {
  executable = require.resolve(`${platform}/bin/${file}`);
} catch {
  console.error(
    `${own}: the package ${platform} is missing. Either there is none for this system, or optional packages ` +
      "were left out: install again without --omit=optional.",
  );
  process.exit(1);
}

const child = spawn(executable, process.argv.slice(2), { stdio: "inherit" });
// A client that ends this process means the gateway.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => child.kill(signal));
}
child.on("error", (error) => {
  console.error(`${own}: ${executable} can't be started: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
