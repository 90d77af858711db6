/**
 * `node .ci/install-check.mjs pith-0.1.0.tgz [npm|pnpm|yarn]`: installs a packed package in an empty folder whose path has a space and a non-ASCII letter,
 * then prints its version and quantizes a small model there. It runs on each system and each supported version of Node, without other modules.
 */
import { execSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const [archive = "", manager = "npm"] = process.argv.slice(2);
const commands = {
  npm: "npm install --ignore-scripts --no-audit --no-fund",
  pnpm: "npx --yes pnpm@10 add --ignore-scripts",
  yarn: "npx --yes yarn@1 add --ignore-scripts",
};
const program = `
import { save } from "pith";
import { linear, network, relu } from "pith/nn";
await save(network({ fc1: linear(64, 64), relu: relu(), fc2: linear(64, 10) }, { input: ["batch", 64], seed: 1 }), "model.onnx");
`;
const folder = mkdtempSync(join(tmpdir(), "pith größe "));
// Without the npm that started this script, so that the folder is the project.
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle)_/.test(name)));
const run = (command) => execSync(command, { cwd: folder, env, stdio: "inherit" });
try {
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  writeFileSync(join(folder, "model.mjs"), program);
  run(`${commands[manager]} "${resolve(archive)}"`);
  run("npx pith --version");
  run("node model.mjs");
  run("npx pith quantize model.onnx --scheme dynamic --force -o small.onnx");
  if (!existsSync(join(folder, "small.onnx"))) throw new Error("pith quantize wrote no file.");
} finally {
  rmSync(folder, { recursive: true, force: true });
}
