/**
 * Who may import whom, after the committed table `scripts/layers.json`: folder → folders, package → folders. Types count as well: a
 * type that points upwards ties the layers together like any other import.
 */
import { type Finding, isNodeBuiltIn, isTestCode, layerOf, packageOf, type Source } from "./sources.ts";

export interface Layers {
  readonly folders: Readonly<Record<string, string>>;
  readonly packages: Readonly<Record<string, string>>;
  /** The folders that may use what only Node has. */
  readonly nodeBuiltIns: string;
}

const words = (text: string): readonly string[] => text.split(/\s+/).filter((word) => word !== "");

export function checkImportTable(sources: readonly Source[], layers: Layers): Finding[] {
  return sources.flatMap((source) => {
    if (source.file.startsWith("examples/")) return checkExample(source);
    return isTestCode(source.file) ? [] : checkShipped(source, layers);
  });
}

/** Examples show what a user writes. */
function checkExample({ file, imports }: Source): Finding[] {
  return imports.flatMap(({ specifier, line }) => {
    if (!specifier.startsWith(".") || !/^(\.\.\/)+src\//.test(specifier)) return [];
    const text = `imports "${specifier}". An example shows what a user writes: import from "pith" or "pith/…".`;
    return [{ file, line, rule: "import-table", text }];
  });
}

function checkShipped({ file, imports }: Source, layers: Layers): Finding[] {
  const layer = layerOf(file) ?? "";
  const allowed = layers.folders[layer];
  if (allowed === undefined) {
    return [
      {
        file,
        line: 1,
        rule: "import-table",
        text: `"${layer}" is not in scripts/layers.json: say there what it may import.`,
      },
    ];
  }
  return imports.flatMap((entry) => {
    const { specifier, line } = entry;
    const fail = (text: string, rule = "import-table"): Finding[] => [
      { file, line, rule, text: `imports "${specifier}". ${text}` },
    ];
    if (isNodeBuiltIn(specifier)) {
      if (words(layers.nodeBuiltIns).includes(layer)) return [];
      return fail(
        `Only ${words(layers.nodeBuiltIns).join(", ")} may use what only Node has: everything else runs in a browser. Go through "#platform".`,
        "node-built-ins",
      );
    }
    if (entry.file === undefined) {
      const name = packageOf(specifier);
      const folders = layers.packages[name];
      if (folders === undefined) return fail(`The package "${name}" is not in scripts/layers.json.`);
      if (words(folders).includes(layer)) return [];
      return fail(`The package "${name}" is for ${words(folders).join(", ")}; see scripts/layers.json.`);
    }
    if (isTestCode(entry.file)) return fail("What is shipped must not need what is not: tests, examples, scripts.");
    const target = layerOf(entry.file) ?? "";
    if (target === layer || words(allowed).includes(target)) return [];
    return fail(
      `${layer} may import only ${words(allowed).join(", ") || "nothing"}: layers point downwards (scripts/layers.json).`,
    );
  });
}
