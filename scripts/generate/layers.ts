/** Writes the imports between the folders of `src/` into docs/architecture.md, as a table, which every viewer of Markdown shows. */
import { readFileSync } from "node:fs";
import { isTestCode, readSources, type Source } from "../check/sources.ts";
import type { Generator } from "./generator.ts";

const page = "docs/architecture.md";
const [start, end] = ["<!-- Written by npm run generate. Do not edit. -->", "<!-- End of the imports. -->"];

export const layerImports: Generator = {
  async generate() {
    const text = readFileSync(page, "utf8");
    const [before, rest] = text.split(start);
    const after = rest?.split(end)[1];
    if (before === undefined || after === undefined) throw new Error(`${page} has no place for the imports: ${start}`);
    const sources = readSources(".", ["src"]).filter(({ file }) => !isTestCode(file));
    return new Map([[page, `${before}${start}\n\n${importTable(groupImports(sources))}\n\n${end}${after}`]]);
  },
};

type Imports = ReadonlyMap<string, ReadonlySet<string>>;

const groupOf = (file: string): string | undefined => /^src\/([^/]+)\//.exec(file)?.[1];

/** Returns for each folder of `src/` the others that it imports. */
function groupImports(sources: readonly Source[]): Imports {
  const imports = new Map<string, Set<string>>();
  for (const source of sources) {
    const group = groupOf(source.file);
    if (group === undefined) continue;
    const targets = imports.get(group) ?? new Set();
    imports.set(group, targets);
    for (const { file } of source.imports) {
      const target = groupOf(file ?? "");
      if (target !== undefined && target !== group) targets.add(target);
    }
  }
  return imports;
}

/** Returns a table with a row for each folder, the lowest first, with the imports that do not follow from others. */
function importTable(imports: Imports): string {
  const reachOf = (folder: string): ReadonlySet<string> =>
    new Set([...(imports.get(folder) ?? [])].flatMap((target) => [target, ...reachOf(target)]));
  const names = (folders: readonly string[]): string => folders.map((folder) => `\`${folder}/\``).join(", ");
  const rows = [...imports]
    .filter(([, targets]) => targets.size > 0)
    .map(([folder, targets]) => {
      const indirect = new Set([...targets].flatMap((target) => [...reachOf(target)]));
      const direct = [...targets].filter((target) => !indirect.has(target)).toSorted();
      return { height: reachOf(folder).size, row: `| ${names([folder])} | ${names(direct)} |` };
    })
    .toSorted((a, b) => a.height - b.height || (a.row < b.row ? -1 : 1));
  return ["| folder | imports |", "| --- | --- |", ...rows.map(({ row }) => row)].join("\n");
}
