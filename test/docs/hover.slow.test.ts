/** Editors show the comments of schema entries for options, although the option types are only derived from the schema. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const file = join(root, "test/docs/hover-example.ts");
const text = `import { factorize } from "pith/factorize";
import { prune } from "pith/prune";
import { quantize } from "pith/quantize";
declare const model: import("pith").Model;
await quantize(model, { perChannel: true, except: "head" });
await prune(model, { amount: 0.5, layers: "fc*" });
await factorize(model, { rank: 9 });
`;

test("options have their comments, including spread ones", () => {
  const { config } = ts.readConfigFile(join(root, "tsconfig.json"), (path) => readFileSync(path, "utf8"));
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
  const service = ts.createLanguageService({
    ...ts.sys,
    getScriptFileNames: () => [file],
    getScriptVersion: () => "1",
    getScriptSnapshot(path) {
      const content = path === file ? text : ts.sys.readFile(path);
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content);
    },
    getCurrentDirectory: () => root,
    getCompilationSettings: () => options,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    useCaseSensitiveFileNames: () => ts.sys.useCaseSensitiveFileNames,
    fileExists: (path) => path === file || ts.sys.fileExists(path),
  });
  const shown = (name: string): string => {
    const info = service.getQuickInfoAtPosition(file, text.indexOf(`${name}:`));
    return ts.displayPartsToString(info?.documentation);
  };
  expect(shown("perChannel")).toBe("One scale per output channel, instead of one per weight (true).");
  expect(shown("amount")).toContain("Share of the remaining weights or channels to remove");
  expect(shown("rank")).toBe("Keep this many singular values of each layer.");
  expect(shown("layers")).toContain("Names or patterns of layers");
  expect(shown("except")).toBe("Names or patterns of layers to exclude.");
});
