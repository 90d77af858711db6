/** docs/ops.md: every operator of `src/core/ops/` against the facets of its entry. */
import { existsSync } from "node:fs";
import type { FacetName, Op } from "../../src/core/ops/define.ts";
import { type Generator, sourceNotice } from "./generator.ts";

const source = "src/core/ops/index.ts";
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
    const { operators } = await import("../../src/core/ops/index.ts");
    return new Map([["docs/ops.md", renderOperators([...operators])]]);
  },
};

export function renderOperators(operators: readonly Op[]): string {
  const sorted = [...operators].sort((a, b) => compare(a.domain, b.domain) || compare(a.name, b.name));
  const count = (facet: FacetName): number => sorted.filter((op) => op.facets[facet] === true).length;
  return `${sourceNotice(source)}

# Operators

${sorted.length} operators. An operator that is not listed is copied unchanged. A technique that must know what it computes rejects it, with the reason.

| facet | means | operators |
| --- | --- | --- |
${names.map((facet) => `| ${facet} | ${facets[facet]} | ${count(facet)} |`).join("\n")}

✓ yes · – no. [Why not](#why-not) has the reasons.

| operator | ${names.join(" | ")} |
| --- |${" :-: |".repeat(names.length)}
${sorted.map((op) => `| ${fullName(op)} | ${names.map((facet) => (op.facets[facet] === true ? "✓" : "–")).join(" | ")} |`).join("\n")}

## Why not

${reasons(sorted)}
`;
}

/** Operators gathered by facet and reason: one line says why for all of them. */
function reasons(operators: readonly Op[]): string {
  const lines = names.flatMap((facet) => {
    const byReason = new Map<string, string[]>();
    for (const op of operators) {
      const answer = op.facets[facet];
      if (answer === true) continue;
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
