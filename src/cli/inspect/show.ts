/** What is in a model, as text. */
import { basename } from "node:path";
import type { WeightNumbers } from "../jobs/weights.ts";
import { bytes, count, integer, percent, times } from "../numbers.ts";
import type { Terminal } from "../terminal.ts";
import { type Description, type LayerRow, multipleText, type Port } from "./describe.ts";
import { energies, type Saving, supposedCut } from "./savings.ts";

/** Reasons that are printed; the rest is counted. */
const shownMisses = 5;

export function show(data: Description, numbers: readonly WeightNumbers[] | undefined, terminal: Terminal): void {
  showFile(data, terminal);
  showLayers(data, terminal);
  if (numbers !== undefined) showNumbers(numbers, terminal);
  showSavings(data, numbers, terminal);
  const roles = Object.entries(data.roles).map(([role, number]) => `${integer(number)} ${role}`);
  if (roles.length > 0) terminal.line(`roles: ${roles.join(", ")}`);
  showMisses(data, terminal);
}

function showFile(data: Description, terminal: Terminal): void {
  const { bold, dim } = terminal.color;
  const opsets = Object.entries(data.opsets).map(([domain, version]) => `${domain} ${version}`);
  const nodes = Object.values(data.operators).reduce((sum, number) => sum + number, 0);
  terminal.line(`${bold(basename(data.file))}  ${bytes(data.bytes)}`);
  terminal.line(`${opsets.join(", ")}; IR ${data.irVersion}${data.producer === "" ? "" : `; by ${data.producer}`}`);
  terminal.line();
  const ports = (kind: string, list: readonly Port[]): string[][] =>
    list.map(({ name, type, dims }, index) => [index === 0 ? dim(kind) : "", name, `${type ?? "?"} ${dims}`]);
  terminal.table(
    [{ title: "" }, { title: "" }, { title: "" }],
    [...ports("inputs", data.inputs), ...ports("outputs", data.outputs)],
  );
  terminal.line();
  terminal.line(`${integer(nodes)} nodes`);
  const operators = Object.entries(data.operators).map(([name, number]) => [integer(number), name]);
  terminal.table([{ title: "", align: "right" }, { title: "" }], operators, "  ");
  terminal.line();
  terminal.table(
    columns("stored", "tensors", "elements", "size"),
    data.stored.map((row) => [row.type, integer(row.tensors), count(row.elements), bytes(row.bytes)]),
  );
  terminal.line();
}

function showLayers(data: Description, terminal: Terminal): void {
  terminal.line(
    `${integer(data.layers.length)} layers; ${count(data.parameters)} parameters; ${multipleText(data.macs)} MACs`,
  );
  if (data.layers.length === 0) return;
  const left = ["layer", "operator", "weight"].map((title) => ({ title }));
  terminal.table(
    [...left, ...columns("", "parameters", "MACs", "can be cut", "rank pays").slice(1)],
    data.layers.map((layer) => [
      layer.name,
      layer.operator + (layer.groups === 1 ? "" : ` (${integer(layer.groups)} groups)`),
      layer.weight,
      integer(layer.parameters),
      multipleText(layer.macs),
      `${integer(layer.cuttable)} of ${integer(layer.outputs)}`,
      rankText(layer),
    ]),
  );
}

function rankText({ payingRank }: LayerRow): string {
  if (payingRank === undefined) return "";
  return payingRank === 0 ? "never" : `to ${integer(payingRank)}`;
}

function showNumbers(numbers: readonly WeightNumbers[], terminal: Terminal): void {
  terminal.line();
  const ranks = energies.map((energy) => `rank ${percent(energy, 0)}`);
  terminal.table(
    columns("weights", "zeros", "least", "greatest", ...ranks, "of"),
    numbers.map(({ name, zeros, least, greatest, ranks: found }) => [
      name,
      percent(zeros),
      least.toPrecision(3),
      greatest.toPrecision(3),
      ...energies.map((_, index) => (found === undefined ? "–" : integer(found.holding[index] ?? 0))),
      found === undefined ? "too large" : integer(found.of),
    ]),
  );
  terminal.line(terminal.color.dim("rank 95 %: so many singular values hold 95 % of the sum of all squares"));
}

/** One line for each technique that would do something. */
function showSavings(
  { layers, savings }: Description,
  numbers: readonly WeightNumbers[] | undefined,
  terminal: Terminal,
): void {
  const { int8, channels, lowRank } = savings;
  const among = (some: number): string => `${integer(some)} of ${integer(layers.length)} layers`;
  const sizes = (saving: Saving): string[] => [
    bytes(saving.before),
    bytes(saving.after),
    times(saving.before / saving.after),
  ];
  const rows = [
    int8.layers > 0 ? ["quantize --scheme weights", ...sizes(int8), among(int8.layers)] : [],
    channels.cuttable > 0
      ? [
          `prune --structured ${percent(supposedCut, 0).replace(" ", "")}`,
          ...sizes(channels),
          `${among(channels.layers)}: ${integer(channels.cuttable)} of ${integer(channels.channels)} channels can be cut`,
        ]
      : [],
    lowRank.layers > 0 ? ["factorize --energy 0.95", ...lowRankCells(layers, numbers, sizes, among)] : [],
  ].filter((row) => row.length > 0);
  if (rows.length === 0) return;
  terminal.line();
  terminal.table([...columns("could save (estimates)", "weights", "then", ""), { title: "" }], rows);
  const reasons = new Set(layers.flatMap(({ kept }) => kept ?? []));
  for (const reason of [...reasons].slice(0, shownMisses)) terminal.line(`kept from cutting: ${reason}`);
}

/** What rank 95 % leaves of the layers in which it pays, where the numbers are known. */
function lowRankCells(
  layers: readonly LayerRow[],
  numbers: readonly WeightNumbers[] | undefined,
  sizes: (saving: Saving) => string[],
  among: (some: number) => string,
): string[] {
  const possible = layers.filter(({ payingRank }) => (payingRank ?? 0) > 0).length;
  if (numbers === undefined) return ["", "", "", `it could pay in ${among(possible)} (--weights tells where it does)`];
  const saving = { layers: 0, before: 0, after: 0 };
  for (const [index, { inputs, outputs, payingRank = 0 }] of layers.entries()) {
    const rank = numbers[index]?.ranks?.holding[energies.indexOf(0.95)];
    if (rank === undefined || rank > payingRank) continue;
    saving.layers++;
    saving.before += 4 * inputs * outputs;
    saving.after += 4 * rank * (inputs + outputs);
  }
  const where = `it could pay in ${among(possible)}, and does in ${saving.layers === 0 ? "none" : integer(saving.layers)}`;
  return saving.layers === 0 ? ["", "", "", where] : [...sizes(saving), where];
}

function showMisses({ notUnderstood }: Description, terminal: Terminal): void {
  if (notUnderstood.length === 0) return;
  terminal.line();
  terminal.line(`not understood (${integer(notUnderstood.length)}):`);
  for (const { at, reason } of notUnderstood.slice(0, shownMisses)) {
    terminal.line(`  ${at === undefined ? "" : `${at}: `}${reason}`);
  }
  if (notUnderstood.length > shownMisses) {
    terminal.line(`  and ${integer(notUnderstood.length - shownMisses)} more (--json has all)`);
  }
}

/** The first to the left, the others, which hold numbers, to the right. */
function columns(first: string, ...others: readonly string[]): { title: string; align?: "right" }[] {
  return [{ title: first }, ...others.map((title) => ({ title, align: "right" as const }))];
}
