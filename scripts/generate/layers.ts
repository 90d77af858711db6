/** Draws the imports between the folders of `src/` into docs/architecture.md. */
import { readFileSync } from "node:fs";
import { isTestCode, readSources, type Source } from "../check/sources.ts";
import type { Generator } from "./generator.ts";

const page = "docs/architecture.md";
const [start, end] = ["<!-- Drawn by npm run generate. Do not edit. -->", "<!-- End of the drawing. -->"];

export const layerDrawing: Generator = {
  async generate() {
    const text = readFileSync(page, "utf8");
    const [before, rest] = text.split(start);
    const after = rest?.split(end)[1];
    if (before === undefined || after === undefined) throw new Error(`${page} has no place for the drawing: ${start}`);
    const sources = readSources(".", ["src"]).filter(({ file }) => !isTestCode(file));
    return new Map([[page, `${before}${start}\n${drawGroups(groupImports(sources))}\n${end}${after}`]]);
  },
};

type Imports = ReadonlyMap<string, ReadonlySet<string>>;

const groupOf = (file: string): string | undefined => /^src\/([^/]+)\//.exec(file)?.[1];

/** Returns for each folder of `src/` the others that it imports. */
export function groupImports(sources: readonly Source[]): Imports {
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

/** Draws an arrow for each import that no longer way implies. */
export function drawGroups(imports: Imports): string {
  const reaches = (from: string, to: string): boolean =>
    [...(imports.get(from) ?? [])].some((next) => next === to || reaches(next, to));
  const arrows = [...imports].flatMap(([from, targets]) =>
    [...targets]
      .filter((to) => ![...targets].some((other) => other !== to && reaches(other, to)))
      .map((to) => `  ${from} --> ${to}`),
  );
  return ["```mermaid", "graph TD", ...arrows.toSorted(), "```"].join("\n");
}
