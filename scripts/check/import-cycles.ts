/**
 * Reports files that import themselves at run time, directly or through other files: such files cannot be understood, tested or loaded separately. Types
 * are erased, so type imports can form a cycle (a graph has attributes, an attribute can be a graph), but only among files of one folder.
 */
import path from "node:path";
import type { Finding, Import, Source } from "./sources.ts";

export function checkImportCycles(sources: readonly Source[]): Finding[] {
  const isValue = ({ typeOnly }: Import): boolean => !typeOnly;
  const values = cyclesIn(sources, isValue);
  const wide = cyclesIn(sources, () => true).filter(
    (cycle) =>
      new Set(cycle.map(({ file }) => path.posix.dirname(file))).size > 1 &&
      !cycle.some((source) => values.flat().includes(source)),
  );
  return [
    ...values.map((cycle) => finding(cycle, isValue, "Move what both need into a file of its own.")),
    ...wide.map((cycle) => finding(cycle, () => true, "Types may close a circle inside one folder only.")),
  ];
}

/** Returns groups of files that all reach each other: Tarjan's strongly connected components. */
function cyclesIn(sources: readonly Source[], follows: (imported: Import) => boolean): Source[][] {
  const byFile = new Map(sources.map((source) => [source.file, source]));
  const lowest = new Map<Source, number>();
  const trail: Source[] = [];
  const cycles: Source[][] = [];
  const visit = (source: Source): number => {
    const order = lowest.size;
    lowest.set(source, order);
    trail.push(source);
    let low = order;
    let isOwn = false;
    for (const imported of source.imports) {
      const target = follows(imported) ? byFile.get(imported.file ?? "") : undefined;
      if (target === undefined) continue;
      isOwn ||= target === source;
      low = Math.min(low, lowest.get(target) ?? visit(target));
    }
    lowest.set(source, low);
    if (low < order) return low;
    const group = trail.splice(trail.indexOf(source));
    for (const member of group) lowest.set(member, Number.POSITIVE_INFINITY);
    if (group.length > 1 || isOwn) cycles.push(group);
    return Number.POSITIVE_INFINITY;
  };
  for (const source of sources) if (!lowest.has(source)) visit(source);
  return cycles;
}

/** Reports the shortest path from the first file of a cycle back to itself, at the import that closes the cycle. */
function finding(cycle: readonly Source[], follows: (imported: Import) => boolean, advice: string): Finding {
  const [first] = cycle as readonly [Source];
  const ways: Source[][] = [[first]];
  for (const way of ways) {
    const last = way.at(-1) as Source;
    for (const imported of last.imports.filter(follows)) {
      const next = cycle.find(({ file }) => file === imported.file);
      if (next === first) {
        const text = `closes the cycle ${[...way, first].map(({ file }) => file).join(" → ")}. ${advice}`;
        return { file: last.file, line: imported.line, rule: "import-cycles", text };
      }
      if (next !== undefined && !ways.some((other) => other.includes(next))) ways.push([...way, next]);
    }
  }
  throw new Error(`${first.file} is in no cycle`);
}
