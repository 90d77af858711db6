/** Runs scripts of bench/peers with a Python that has the modules they need. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Returns the first Python that imports the modules: `named`, PITH_PYTHON, bench/peers/venv or python3. */
export function pythonWith(modules: readonly string[], named?: string): string | undefined {
  const pythons = [named, process.env.PITH_PYTHON, inPeers("venv/bin/python"), "python3"];
  return pythons.find(
    (one) => one !== undefined && spawnSync(one, ["-c", `import ${modules.join(", ")}`]).status === 0,
  );
}

/** Runs a script and returns the JSON in its last line. @throws Error with the end of standard error if it fails. */
export function peer<T>(python: string, script: string, given: readonly string[]): T {
  const { status, stdout, stderr } = spawnSync(python, [inPeers(script), ...given], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    env: { ...process.env, NNCF_LOG_LEVEL: "ERROR" },
  });
  if (status !== 0) throw new Error(`${script}: ${stderr.trim().split("\n").slice(-3).join(" ")}`);
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as T;
}

function inPeers(name: string): string {
  return fileURLToPath(new URL(`../peers/${name}`, import.meta.url));
}
