/** src/train/kernels.generated.ts: `src/train/kernels.as.ts` compiled by AssemblyScript, with SIMD and without. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Generator } from "./generator.ts";

const source = "src/train/kernels.as.ts";
const page = "src/train/kernels.generated.ts";

/** Compiles only what the page was not made of: the compiler takes seconds. */
export const kernels: Generator = {
  async generate() {
    const { assemblyscript } = JSON.parse(readFileSync("package.json", "utf8")).devDependencies;
    const hash = createHash("sha256").update(readFileSync(source)).update(assemblyscript).digest("hex").slice(0, 16);
    const before = existsSync(page) ? readFileSync(page, "utf8") : "";
    const text = before.includes(`${source}, ${hash}`)
      ? before
      : `// Generated from ${source}, ${hash}, by npm run generate. Do not edit.\n` +
        `export const withSimd =\n  "${compiled(true)}";\nexport const withoutSimd =\n  "${compiled(false)}";\n`;
    return new Map([[page, text]]);
  },
};

/** A WebAssembly module that imports its memory, in base64. */
export function compiled(simd: boolean): string {
  const folder = mkdtempSync(path.join(tmpdir(), "pith-kernels-"));
  try {
    const file = path.join(folder, "kernels.wasm");
    const { status, stderr } = spawnSync(
      process.execPath,
      [
        ...["node_modules/assemblyscript/bin/asc.js", source, "-o", file, simd ? "--enable" : "--disable", "simd"],
        ...["-O3", "--converge", "--noAssert", "--runtime", "stub", "--use", "abort="],
        ...["--importMemory", "--noExportMemory"],
      ],
      { encoding: "utf8" },
    );
    if (status !== 0) throw new Error(`${source} does not compile:\n${stderr}`);
    return readFileSync(file).toString("base64");
  } finally {
    rmSync(folder, { recursive: true });
  }
}
