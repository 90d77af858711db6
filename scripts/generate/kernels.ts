/** src/learn/train/kernels.generated.ts: `kernels.as.ts` of the same folder, compiled by AssemblyScript for float32 and for float64. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Generator } from "./generator.ts";

const source = "src/learn/train/kernels.as.ts";
const page = "src/learn/train/kernels.generated.ts";

/** Compiles only if source or compiler have changed, because the compiler takes seconds. */
export const kernels: Generator = {
  async generate() {
    const { assemblyscript } = JSON.parse(readFileSync("package.json", "utf8")).devDependencies;
    const hash = createHash("sha256").update(readFileSync(source)).update(assemblyscript).digest("hex").slice(0, 16);
    const before = existsSync(page) ? readFileSync(page, "utf8") : "";
    const text = before.includes(`${source}, ${hash}`)
      ? before
      : `// Generated from ${source}, ${hash}, by npm run generate. Do not edit.\n` +
        `export const float32 =\n  "${compileKernels("f32")}";\nexport const float64 =\n  "${compileKernels("f64")}";\n`;
    return new Map([[page, text]]);
  },
};

/** Returns a WebAssembly module that imports its memory, in base64. */
export function compileKernels(type: "f32" | "f64"): string {
  const folder = mkdtempSync(path.join(tmpdir(), "pith-kernels-"));
  try {
    const [text, file] = [path.join(folder, "kernels.ts"), path.join(folder, "kernels.wasm")];
    writeFileSync(text, readFileSync(source, "utf8").replace("type T = f32;", `type T = ${type};`));
    const { status, stderr } = spawnSync(
      process.execPath,
      [
        ...["node_modules/assemblyscript/bin/asc.js", text, "-o", file, "--enable", "simd"],
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
