/** Installs the simplifiers that are compared, and returns the command line of each. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { peer } from "../lib/python.ts";

export interface Tool {
  readonly name: string;
  readonly version: string;
  /** Returns the program and its arguments that simplify `path` into `out`. */
  commandFor(path: string, out: string): readonly [program: string, ...words: string[]];
}

/** Pinned versions: another version can leave other nodes. */
const pythonVersions = {
  onnxslim: "0.1.98",
  onnxsim: "0.8.1",
  onnx: "1.23.2",
  onnxruntime: "1.32.0",
  numpy: "2.4.6",
} as const;
const npmVersion = "0.7.3";

const fileOf = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const script = "simplify_rivals.py";

/** Returns Pith's command line. Undefined if it has not been built. */
export function findPith(): Tool | undefined {
  const program = fileOf("../../dist/app/cli/main.js");
  if (!existsSync(program)) return undefined;
  const { version } = JSON.parse(readFileSync(fileOf("../../package.json"), "utf8")) as { version: string };
  const commandFor: Tool["commandFor"] = (path, out) => [
    process.execPath,
    ...[program, "simplify", path, "-o", out, "--force"],
  ];
  return { name: "Pith", version, commandFor };
}

/** Returns the rivals that are installed. @param report receives a sentence for each that is missing. */
export function installRivals(python: string | undefined, report: (text: string) => void): readonly Tool[] {
  return [...findPythonTools(python, report), ...findNpmTool(report)];
}

/** @param named Python to use as it is; without it, packages are installed into bench/peers/venv. */
function findPythonTools(named: string | undefined, report: (text: string) => void): readonly Tool[] {
  const venv = fileOf("../peers/venv");
  const python = named ?? join(venv, "bin/python");
  let error = "";
  if (named === undefined && !hasPinned(readVersions(python))) {
    const packages = Object.entries(pythonVersions).map(([name, version]) => `${name}==${version}`);
    error = existsSync(python) ? "" : runInstaller("python3", ["-m", "venv", venv]);
    if (error === "") error = runInstaller(python, ["-m", "pip", "install", "--quiet", ...packages]);
  }
  const versions = readVersions(python);
  return (["onnxslim", "onnxsim"] as const).flatMap((name): Tool[] => {
    const version = versions[name];
    if (version === undefined) {
      report(`PyPI ${name} is missing: ${error || `${python} does not have it`}`);
      return [];
    }
    const commandFor: Tool["commandFor"] = (path, out) => [python, fileOf(`../peers/${script}`), name, path, out];
    return [{ name, version: `${version} (onnx ${versions.onnx}, onnxruntime ${versions.onnxruntime})`, commandFor }];
  });
}

/** Installs without scripts into a folder `node_modules` of the bench, which git ignores. */
function findNpmTool(report: (text: string) => void): readonly Tool[] {
  const root = fileOf("node_modules/rivals");
  const folder = join(root, "node_modules/onnxsim");
  let error = "";
  if (readNpmVersion(folder) !== npmVersion) {
    mkdirSync(root, { recursive: true });
    writeFileSync(join(root, "package.json"), `{ "private": true }\n`);
    const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", root];
    error = runInstaller("npm", ["install", ...flags, `onnxsim@${npmVersion}`]);
  }
  const version = readNpmVersion(folder);
  if (version === undefined) {
    report(`npm onnxsim is missing: ${error}`);
    return [];
  }
  const commandFor: Tool["commandFor"] = (path, out) => [
    process.execPath,
    ...[fileOf("npm-onnxsim.mjs"), folder, path, out],
  ];
  return [{ name: "npm onnxsim", version, commandFor }];
}

type Versions = Readonly<Record<string, string>>;

function readVersions(python: string): Versions {
  try {
    return peer<Versions>(python, script, ["versions"]);
  } catch {
    return {};
  }
}

function hasPinned(versions: Versions): boolean {
  return Object.entries(pythonVersions).every(([name, version]) => versions[name] === version);
}

function readNpmVersion(folder: string): string | undefined {
  const file = join(folder, "package.json");
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version : undefined;
}

/** @returns the end of the error text, or "" on success. */
function runInstaller(program: string, words: readonly string[]): string {
  const { status, stderr, error } = spawnSync(program, words, { encoding: "utf8" });
  if (status === 0) return "";
  const last = (stderr ?? "").trim().split("\n").at(-1) ?? "";
  return (error?.message ?? last).slice(0, 200) || `${program} failed`;
}
