/** docs/ops.md: every operator of `src/ops/` against the facets of its entry. */
import { existsSync } from "node:fs";
import type { FacetName, Op } from "../../src/ops/define.ts";
import { type Generator, generatedFrom } from "./generator.ts";

const source = "src/ops/index.ts";
const facets = {
  weight: "a layer: its weight is pruned, quantized, factorized",
  axes: "channels can be followed through it",
  gradient: "trained through",
  lower: "trained through, as simpler operators",
  cost: "multiplications are counted",
  quantize: "can run on integers",
} satisfies Record<FacetName, string>;
const names = Object.keys(facets) as FacetName[];

export const operatorPage: Generator = {
  async generate() {
    if (!existsSync(source)) return new Map();
    const { operators } = await import("../../src/ops/index.ts");
    return new Map([["docs/ops.md", renderOperators([...operators])]]);
  },
};

export function renderOperators(operators: readonly Op[]): string {
  const sorted = [...operators].sort((a, b) => compare(a.domain, b.domain) || compare(a.name, b.name));
  const count = (facet: FacetName): number => sorted.filter((op) => op.facets[facet] === true).length;
  const missing = sorted.flatMap((op) =>
    names.flatMap((facet) => {
      const answer = op.facets[facet];
      return answer !== true && answer.reason.startsWith("not yet")
        ? [`- ${fullName(op)}, ${facet}: ${answer.reason}`]
        : [];
    }),
  );
  return `${generatedFrom(source)}

# Operators

${sorted.length} operators. An operator that is not listed is carried through unchanged, and refused, with the reason, wherever its meaning is needed.

| facet | means | operators |
| --- | --- | --- |
${names.map((facet) => `| ${facet} | ${facets[facet]} | ${count(facet)} |`).join("\n")}

✓ yes · – does not apply · ○ not yet

| operator | ${names.join(" | ")} |
| --- |${" :-: |".repeat(names.length)}
${sorted.map((op) => `| ${fullName(op)} | ${names.map((facet) => mark(op, facet)).join(" | ")} |`).join("\n")}

## Not yet

${missing.length === 0 ? "Nothing: every facet of every operator is there, or does not apply." : missing.join("\n")}

## Why not

${reasons(sorted)}
`;
}

function mark(op: Op, facet: FacetName): string {
  const answer = op.facets[facet];
  if (answer === true) return "✓";
  return answer.reason.startsWith("not yet") ? "○" : "–";
}

/** Operators gathered by facet and reason: one line says why for all of them. */
function reasons(operators: readonly Op[]): string {
  const lines = names.flatMap((facet) => {
    const byReason = new Map<string, string[]>();
    for (const op of operators) {
      const answer = op.facets[facet];
      if (answer === true || answer.reason.startsWith("not yet")) continue;
      byReason.set(answer.reason, [...(byReason.get(answer.reason) ?? []), fullName(op)]);
    }
    return [...byReason].map(([reason, list]) => `- **${facet}**, ${reason}: ${list.join(", ")}`);
  });
  return lines.length === 0 ? "Every facet applies to every operator." : lines.join("\n");
}

function fullName({ domain, name }: Op): string {
  return domain === "" ? name : `${domain}.${name}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
