/**
 * Merges chunks of a build that are loaded by similar entries. Without this, each set of entries that share a module has a separate chunk, which makes
 * hundreds of small files.
 */
import type { OutputChunk } from "rolldown";

/** Imports of package.json that lead to entries of the same build. In a cycle through them, a module would run before its dependencies. */
const ownImports: Readonly<Record<string, readonly string[]>> = {
  "#platform": ["core/platform/node.js", "core/platform/browser.js"],
  "#root": ["core/platform/root.js"],
};

interface Part {
  readonly id: number;
  readonly modules: readonly string[];
  readonly bytes: number;
  /**
   * Packages and Node built-ins that it imports, directly or through other chunks. Only parts with equal ones merge, so that code for browsers does not
   * load those of Node.
   */
  readonly packages: string;
  /** Entries that load it, directly or through other parts. */
  readonly entries: Set<OutputChunk>;
  readonly imports: Set<Part>;
}

interface Pair {
  readonly a: Part;
  readonly b: Part;
  /** Bytes that entries load without need after the merge, less those that a file costs, weighted by how often an entry starts. */
  readonly cost: number;
}

/** Resolving, opening and linking a file takes as long as loading this many bytes. */
const fileBytes = 32_000;

/** Returns the name of the merged chunk of each module. Modules of entries and of dynamic imports are not included. */
export function mergeChunks(chunks: readonly OutputChunk[]): ReadonlyMap<string, string> {
  const parts = partsOf(chunks);
  const isShared = ({ isEntry, isDynamicEntry }: OutputChunk): boolean => !isEntry && !isDynamicEntry;
  const shared = new Set(chunks.filter(isShared).flatMap((chunk) => parts.get(chunk.fileName) ?? []));
  const all = new Set(parts.values());
  const pairs = [...shared].flatMap((a, index, list) => list.slice(index + 1).flatMap((b) => pairOf(a, b)));
  while (pairs.length > 0) {
    pairs.sort((first, second) => second.cost - first.cost || second.a.id - first.a.id || second.b.id - first.b.id);
    const pair = takePair(pairs, shared);
    if (pair === undefined) break;
    const merged = merge(pair, all);
    shared.delete(pair.a);
    shared.delete(pair.b);
    for (const part of shared) pairs.push(...pairOf(merged, part));
    shared.add(merged);
  }
  return new Map([...shared].flatMap(({ id, modules }) => modules.map((module) => [module, `shared-${id}`])));
}

function partsOf(chunks: readonly OutputChunk[]): ReadonlyMap<string, Part> {
  const files = new Map(chunks.map((chunk) => [chunk.fileName, chunk]));
  const importsOf = ({ imports }: OutputChunk): readonly OutputChunk[] =>
    imports.flatMap((name) => (ownImports[name] ?? [name]).flatMap((file) => files.get(file) ?? []));
  const loadedBy = new Map(chunks.map((chunk) => [chunk, new Set<OutputChunk>()]));
  for (const entry of chunks.filter(({ isEntry, isDynamicEntry }) => isEntry || isDynamicEntry)) {
    const queue = [entry];
    for (const chunk of queue) {
      if (loadedBy.get(chunk)?.has(entry) === true) continue;
      loadedBy.get(chunk)?.add(entry);
      queue.push(...importsOf(chunk));
    }
  }
  const parts = new Map(
    chunks.map((chunk, id): [string, Part] => {
      const entries = loadedBy.get(chunk) ?? new Set();
      const [modules, bytes] = [Object.keys(chunk.modules), chunk.code.length];
      return [chunk.fileName, { id, modules, bytes, packages: packagesOf(chunk, files), entries, imports: new Set() }];
    }),
  );
  for (const chunk of chunks) {
    for (const { fileName } of importsOf(chunk)) {
      const part = parts.get(fileName);
      if (part !== undefined) parts.get(chunk.fileName)?.imports.add(part);
    }
  }
  return parts;
}

/** Imports of package.json, such as `#platform`, do not count: a browser has other modules there. valibot does not count, because all entries import it. */
function packagesOf(chunk: OutputChunk, files: ReadonlyMap<string, OutputChunk>): string {
  const [chunks, packages] = [new Set([chunk]), new Set<string>()];
  for (const { imports } of chunks) {
    for (const name of imports) {
      const file = files.get(name);
      if (file !== undefined) chunks.add(file);
      else if (!name.startsWith("#") && name !== "valibot") packages.add(name);
    }
  }
  return [...packages].toSorted().join();
}

function pairOf(a: Part, b: Part): Pair[] {
  const cost = a.packages === b.packages ? costOf(a, b) : 0;
  return cost < 0 ? [{ a, b, cost }] : [];
}

function costOf(a: Part, b: Part): number {
  const saved = fileBytes * weightOf(a.entries, (entry) => b.entries.has(entry));
  // Most pairs cost more than this, which is quick to compute.
  const ownBytes = countLoadedBytes(a.entries, [b]) + countLoadedBytes(b.entries, [a]);
  if (ownBytes >= saved) return ownBytes - saved;
  return countLoadedBytes(a.entries, withImports(b)) + countLoadedBytes(b.entries, withImports(a)) - saved;
}

/** Returns the weighted bytes of parts that entries do not load yet. */
function countLoadedBytes(entries: ReadonlySet<OutputChunk>, parts: Iterable<Part>): number {
  let sum = 0;
  for (const part of parts) sum += part.bytes * weightOf(entries, (entry) => !part.entries.has(entry));
  return sum;
}

/** Returns a part and all that it imports, directly or through others. */
function withImports(part: Part): ReadonlySet<Part> {
  const parts = new Set([part]);
  for (const { imports } of parts) for (const next of imports) parts.add(next);
  return parts;
}

/** Shares of the processes of commands that load an entry, in percent. Each command starts two processes; others are weighed as rarely used. */
const weights: readonly (readonly [entries: RegExp, weight: number])[] = [
  [
    /\/(cli\/main|cli\/program|cli\/command|cli\/files\/announced-files|job\/run|job\/any-job|jobs\/command|run-pass|core\/platform\/[\w-]+)\.ts$/,
    100,
  ],
  [/\/cli\/(commands|processes|jobs)\//, 8],
];

/** Returns the weight of some entries. */
function weightOf(entries: ReadonlySet<OutputChunk>, isCounted: (entry: OutputChunk) => boolean): number {
  let sum = 0;
  for (const entry of entries) {
    if (!isCounted(entry)) continue;
    const weight = weights.find(([pattern]) => pattern.test(entry.facadeModuleId ?? ""));
    sum += weight?.[1] ?? 1;
  }
  return sum;
}

/** Removes and returns the pair with the lowest cost that can merge without a cycle. */
function takePair(pairs: Pair[], shared: ReadonlySet<Part>): Pair | undefined {
  for (let pair = pairs.pop(); pair !== undefined; pair = pairs.pop()) {
    const { a, b } = pair;
    // Other merges have changed what entries load.
    if (shared.has(a) && shared.has(b) && costOf(a, b) < 0 && !hasDetour(a, b) && !hasDetour(b, a)) return pair;
  }
  return undefined;
}

/** Returns whether a part imports another through a third, which a merge of the two would turn into a cycle. */
function hasDetour(from: Part, to: Part): boolean {
  const queue = [...from.imports].filter((part) => part !== to);
  const visited = new Set(queue);
  for (const part of queue) {
    if (part === to) return true;
    for (const next of part.imports) {
      if (visited.has(next)) continue;
      visited.add(next);
      queue.push(next);
    }
  }
  return false;
}

function merge({ a, b }: Pair, all: Set<Part>): Part {
  const merged: Part = {
    id: a.id,
    modules: [...a.modules, ...b.modules],
    bytes: a.bytes + b.bytes,
    packages: a.packages,
    entries: new Set([...a.entries, ...b.entries]),
    imports: new Set([...a.imports, ...b.imports].filter((part) => part !== a && part !== b)),
  };
  all.delete(a);
  all.delete(b);
  for (const { imports } of all) {
    const isImporter = imports.delete(a);
    if (imports.delete(b) || isImporter) imports.add(merged);
  }
  all.add(merged);
  for (const { entries } of withImports(merged)) for (const entry of merged.entries) entries.add(entry);
  return merged;
}
