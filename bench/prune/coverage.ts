/** Experiment "coverage": how many of a network's weights lie in a row or a column that can go, and why the others stay. */
import { sep } from "node:path";
import { groupBy } from "../../src/core/tensor/group-by.ts";
import { type Coverage, causes, coverageOf, freed, modelFiles } from "../../test/techniques/prune/coverage.ts";
import { heading, line, table, target } from "../lib/print.ts";

const enough = 0.95;
const folder = "data/models";

export async function coverage(): Promise<boolean> {
  heading("Weights in rows or columns that can go", 0);
  const files = modelFiles(folder);
  if (files.length === 0) line("not measured: the shared folder (../shared, or PITH_SHARED) has no models");
  const [shares, rest]: [string[][], string[][]] = [[], []];
  const [missed, byNorms, except]: [string[], string[], string[]] = [[], [], []];
  for (const path of files) {
    const name = path.slice(path.indexOf(folder.replaceAll("/", sep)) + folder.length + 1).replace(/\.onnx$/, "");
    const model = await freed(path);
    const [exact, all] = [coverageOf(model, {}), coverageOf(model, { throughNorms: true })];
    shares.push([name, String(all.weights), shareOf(exact), shareOf(all)]);
    const [before, after] = [restOf(exact), restOf(all)];
    if (String(before) !== String(after)) rest.push(...before.map((row) => [name, "", ...row]));
    rest.push(...after.map((row) => [name, "through norms", ...row]));
    if (causes[name] !== undefined) except.push(name);
    else if (all.covered < enough * all.weights) missed.push(name);
    else if (exact.covered < enough * exact.weights) byNorms.push(`${name} ${shareOf(exact)}`);
  }
  table(["", ">weights", ">can go", ">through norms"], shares);
  line("What stays: weights of whose layer neither this output nor this input can go");
  table(["", "", ">weights", "", "outputs", "inputs"], rest);
  line(`  ${100 * enough} % without --through-norms: all but ${byNorms.join(", ")}`);
  const most = `${100 * enough} % of each with --through-norms, but of ${except.join(", ")}`;
  line(`  ${target(most, missed.length === 0, true)}`);
  return missed.length === 0;
}

const shareOf = ({ covered, weights }: Coverage): string => `${((100 * covered) / weights).toFixed(1)} %`;

/** By reason: the share of all weights, layers, why outputs stay, why inputs do. */
function restOf({ rest, weights }: Coverage): readonly string[][] {
  const reasonOf = ({ rows, columns }: Coverage["rest"][number]): string => `${rows} ${columns}`;
  return [...groupBy(rest, reasonOf).values()].map((alike) => {
    const [{ layer, rows, columns }] = alike;
    const entries = alike.reduce((sum, one) => sum + one.entries, 0);
    const more = alike.length === 1 ? "" : ` and ${alike.length - 1} more`;
    return [`${((100 * entries) / weights).toFixed(2)} %`, layer + more, rows.join(", "), columns.join(", ")];
  });
}
