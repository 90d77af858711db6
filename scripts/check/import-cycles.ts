/**
 * No file may need itself at run time, over however many others: such files cannot be understood, tested or loaded apart. Types are
 * left out, since they are erased (a graph has attributes, an attribute may be a graph).
 */
import type { Finding, Source } from "./sources.ts";

export function checkImportCycles(sources: readonly Source[]): Finding[] {
  const byFile = new Map(sources.map((source) => [source.file, source]));
  const state = new Map<string, "open" | "done">();
  const trail: string[] = [];
  const findings: Finding[] = [];

  const visit = (source: Source): void => {
    state.set(source.file, "open");
    trail.push(source.file);
    for (const { file, typeOnly, line } of source.imports) {
      const target = file === undefined || typeOnly ? undefined : byFile.get(file);
      if (target === undefined) continue;
      const seen = state.get(target.file);
      if (seen === undefined) visit(target);
      if (seen !== "open") continue;
      const cycle = [...trail.slice(trail.indexOf(target.file)), target.file];
      const text = `closes the cycle ${cycle.join(" → ")}. Move what both need into a file of its own.`;
      findings.push({ file: source.file, line, rule: "import-cycles", text });
    }
    trail.pop();
    state.set(source.file, "done");
  };

  for (const source of sources) if (!state.has(source.file)) visit(source);
  return findings;
}
