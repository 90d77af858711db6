/**
 * Checks imports by the committed table `scripts/layers.json`. It lists layers from the lowest to the highest. A folder may import the layers
 * below its own, but not the other folders of its own. A package may be imported by the folders that the table names. Types count as well.
 */
import { studioDoor } from "../build/doors.ts";
import { type Finding, isNodeBuiltIn, isTestCode, layerOf, packageOf, type Source } from "./sources.ts";

export interface Layers {
  /** Folders of each layer, from the lowest to the highest. */
  readonly layers: readonly string[];
  readonly packages: Readonly<Record<string, string>>;
  /** The folders that may use built-in modules of Node. */
  readonly nodeBuiltIns: string;
}

const words = (text: string): readonly string[] => text.split(/\s+/).filter((word) => word !== "");

export function checkImportTable(sources: readonly Source[], layers: Layers): Finding[] {
  return sources.flatMap((source) => {
    if (/^(examples|studio)\//.test(source.file)) return checkUser(source);
    return isTestCode(source.file) ? [] : checkShipped(source, layers);
  });
}

/** Modules that the studio may import, besides the entry points: the start view needs only the texts of numbers. */
const studioModules: readonly (string | undefined)[] = [`src/${studioDoor}.ts`, "src/core/numbers.ts"];

/** Examples show what a user writes, and the studio is a user. */
function checkUser({ file, imports }: Source): Finding[] {
  return imports.flatMap(({ specifier, line, file: imported }) => {
    if (!specifier.startsWith(".") || !/^(\.\.\/)+src\//.test(specifier)) return [];
    if (file.startsWith("studio/") && studioModules.includes(imported)) return [];
    const text = `imports "${specifier}". Examples and the studio import what users import: "pith" or "pith/…".`;
    return [{ file, line, rule: "import-table", text }];
  });
}

function checkShipped({ file, imports }: Source, layers: Layers): Finding[] {
  const folder = layerOf(file);
  const height = heightOf(layers, folder);
  if (height < 0) {
    const text = `"${folder}" is not in scripts/layers.json: add it to a layer.`;
    return [{ file, line: 1, rule: "import-table", text }];
  }
  return imports.flatMap((entry) => {
    const { specifier, line } = entry;
    const fail = (text: string, rule = "import-table"): Finding[] => [
      { file, line, rule, text: `imports "${specifier}". ${text}` },
    ];
    if (isNodeBuiltIn(specifier)) {
      const folders = words(layers.nodeBuiltIns);
      if (folders.includes(folder)) return [];
      return fail(
        `Only ${folders.join(", ")} may use built-in modules of Node, because everything else runs in a browser. Use "#platform".`,
        "node-built-ins",
      );
    }
    if (entry.file === undefined) {
      const name = packageOf(specifier);
      const folders = layers.packages[name];
      if (folders === undefined) return fail(`The package "${name}" is not in scripts/layers.json.`);
      if (words(folders).includes(folder)) return [];
      return fail(`The package "${name}" is for ${words(folders).join(", ")}; see scripts/layers.json.`);
    }
    if (isTestCode(entry.file)) return fail("Shipped code must not need tests, examples or scripts.");
    // A dynamic import loads one module only.
    const door = entry.isDynamic ? undefined : doorOf(entry.file);
    if (
      door !== undefined &&
      specifier.startsWith(".") &&
      folder !== "index" &&
      !file.endsWith("/index.ts") &&
      !isWithin(file, door)
    )
      return fail(`Folders above import it from "${door}".`);
    const target = layerOf(entry.file);
    if (target === folder || heightOf(layers, target) < height) return [];
    return fail(`${target} is not below ${folder}: imports point downwards (scripts/layers.json).`);
  });
}

/** Returns the name from which folders above import a module of the graph, its analysis, passes or batches. */
function doorOf(file: string): string | undefined {
  if (file.startsWith("src/data/batches/")) return "#batches";
  const [, part] =
    /^src\/core\/(graph|tensor|onnx|ir|errors|estimate|numbers|plain|analysis|pass)[/.]/.exec(file) ?? [];
  return part === "analysis" || part === "pass" ? `#${part}` : part && "#ir";
}

const isWithin = (file: string, door: string): boolean =>
  file.startsWith(door === "#batches" ? "src/data/batches/" : "src/core/");

/** Returns the index of a folder's layer; -1 for an unknown folder. */
export function heightOf({ layers }: Pick<Layers, "layers">, folder: string): number {
  return layers.findIndex((layer) => words(layer).includes(folder));
}
