/** Prints the result of `pith inspect`: structure, layers, savings and weights. */
import { basename } from "node:path";
import { bytes, count, counted, formatReason, groupBy, integer, joinList, percent, times } from "#ir";
import { operationsText } from "../../../judge/record/operation-count.ts";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import type { InspectedLayer, Inspection, Port } from "../../report/inspect/inspect.ts";
import type { Saving, TableSaving } from "../../report/inspect/savings.ts";
import type { Printer } from "./printed-result.ts";
import { columnsOf, mergeRows } from "./table.ts";

/** Shares of a weight's energy (sum of squared singular values). */
export const shownEnergies = [0.9, 0.95, 0.99] as const;

export interface WeightStatistics {
  readonly name: string;
  readonly zeros: number;
  readonly least: number;
  readonly greatest: number;
  /** Rank that contains each share of energy (`holding`), and full rank (`of`). */
  readonly ranks: { readonly of: number; readonly holding: readonly number[] } | undefined;
}

export interface InspectedFile extends Inspection {
  readonly file: string;
  readonly bytes: number;
}

const [maxNotes, maxRows, maxBlocks] = [5, 24, 8];
/** Minimum share of the file's bytes at which an embedding table is listed. */
const minTableShare = 0.01;

export function printInspection(
  data: InspectedFile,
  { numbers, zeros }: { readonly numbers?: readonly WeightStatistics[]; readonly zeros?: number | undefined },
  terminal: Printer,
): void {
  showFile(data, terminal);
  showLayers(data, zeros, terminal);
  if (numbers !== undefined) showNumbers(numbers, terminal);
  showSavings(data, terminal);
  const roles = Object.entries(data.roles).map(([role, number]) => `${integer(number)} ${role}`);
  if (roles.length > 0) terminal.line(`roles: ${roles.join(", ")}`);
  showStructure(data, terminal);
  showMisses(data, terminal);
  const [verb, ...more] = data.savings.int8.layers > 0 ? ["compress", "--max-drop 1% -o out/"] : ["eval"];
  terminal.line(`next: ${["pith", verb, quoteWord(data.file), "--data SAMPLES", ...more].join(" ")}`);
}

/** Prints properties that the table of layers does not show. */
function showStructure({ inside, layers, replaceable }: InspectedFile, terminal: Printer): void {
  if (inside.graphs > 0) {
    const contents = [counted(inside.nodes, "node"), ...(inside.layers === 0 ? [] : [counted(inside.layers, "layer")])];
    terminal.line(
      `subgraphs: ${integer(inside.graphs)}, with ${contents.join(" and ")}; only quantize changes them${inside.inlineCommand === undefined ? "" : `; for the others run ${inside.inlineCommand} first, which inlines the branch that is taken`}`,
    );
  }
  const sharingLayers = layers.filter(({ sharedWith }) => sharedWith.length > 0);
  for (const { name, sharedWith } of sharingLayers.slice(0, maxNotes)) {
    terminal.line(
      `shared: the weight of ${name} is that of ${sharedWith.slice(0, 2).join(", ")}${sharedWith.length > 2 ? ", …" : ""} too`,
    );
  }
  if (sharingLayers.length > maxNotes)
    terminal.line(`shared: and ${integer(sharingLayers.length - maxNotes)} more (--json has all)`);
  if (replaceable.length > 0) {
    terminal.line(`${integer(replaceable.length)} initializers are also graph inputs: callers can override them`);
  }
}

function showFile(data: InspectedFile, terminal: Printer): void {
  const { bold, dim } = terminal.color;
  const opsets = Object.entries(data.opsets).map(([domain, version]) => `${domain} ${version}`);
  const nodes = Object.values(data.operators).reduce((sum, number) => sum + number, 0);
  terminal.line(`${bold(basename(data.file))}  ${bytes(data.bytes)}`);
  const producer = data.producer && `; written by ${data.producer}`;
  terminal.line(`operator set: ${opsets.join(", ")}; file format: IR ${data.irVersion}${producer}`);
  if (data.prepared !== undefined) terminal.line(`preprocessing: ${data.prepared}`);
  terminal.line();
  const ports = (kind: string, list: readonly Port[]): string[][] =>
    list.map(({ name, type, dims }, index) => [index === 0 ? dim(kind) : "", name, `${type ?? "?"} ${dims}`]);
  terminal.table(
    [{ title: "" }, { title: "" }, { title: "" }],
    [...ports("inputs", data.inputs), ...ports("outputs", data.outputs)],
  );
  terminal.line();
  terminal.line(counted(nodes, "node"));
  const operators = Object.entries(data.operators).map(([name, number]) => [integer(number), name]);
  terminal.table([{ title: "", align: "right" }, { title: "" }], operators, "  ");
  terminal.line();
  terminal.table(
    columnsOf("stored", "tensors", "elements", "size"),
    data.stored.map((row) => [row.type, integer(row.tensors), count(row.elements), bytes(row.bytes)]),
  );
  terminal.line();
}

const rankLegend = "rank: pith factorize --method svd saves weights up to this rank";

function showLayers(data: InspectedFile, zeros: number | undefined, terminal: Printer): void {
  const macs = operationsText(data.macs);
  const operations = macs.startsWith("depends on") ? macs.replace("depends", "MACs depend") : `${macs} MACs`;
  const sparse = zeros === undefined ? "" : ` (${percent(zeros)} zeros)`;
  terminal.line(
    `${counted(data.layers.length, "layer")}; ${count(data.parameters)} parameters${sparse}; ${operations}`,
  );
  if (data.layers.length === 0) return;
  const textColumns = ["layer", "operator", "weight"].map((title) => ({ title }));
  const rows = data.layers.map((layer) => ({
    name: layer.name,
    cells: [
      layer.operator + (layer.groups === 1 ? "" : ` (${integer(layer.groups)} groups)`),
      weightText(layer),
      integer(layer.parameters),
      operationsText(layer.macs),
      `${integer(layer.cuttable)} of ${integer(layer.outputs)}`,
      rankText(layer),
    ],
  }));
  const shownRows = rows.length > maxRows ? mergeRows(rows) : rows;
  terminal.table(
    [...textColumns, ...columnsOf("", "parameters", "MACs", "removable channels", "rank").slice(1)],
    shownRows.map(({ name, cells }) => [name, ...cells]),
  );
  terminal.line(terminal.color.dim("MACs: multiply-adds of a run; names such as N are sizes of the inputs"));
  if (data.layers.some(({ payingRank = 0 }) => payingRank > 0)) terminal.line(terminal.color.dim(rankLegend));
  if (shownRows.length < rows.length) {
    terminal.line(terminal.color.dim("identical layers of repeated blocks share one line (--json has each)"));
  }
  const lines = blockLines(data.blocks);
  for (const line of lines.slice(0, maxBlocks)) terminal.line(line);
  if (lines.length > maxBlocks)
    terminal.line(`and ${integer(lines.length - maxBlocks)} more groups of blocks (--json has all)`);
}

/** Returns a weight's description: "int8 [64, 64], 64 scales, shared". */
function weightText({ weight, scales, sharedWith }: InspectedLayer): string {
  const scalesText = scales === undefined ? "" : `, ${counted(scales, "scale")}`;
  return `${weight}${scalesText}${sharedWith.length === 0 ? "" : ", shared"}`;
}

function rankText({ payingRank }: InspectedLayer): string {
  if (payingRank === undefined) return "";
  return payingRank === 0 ? "none" : `≤ ${integer(payingRank)}`;
}

function showNumbers(numbers: readonly WeightStatistics[], terminal: Printer): void {
  terminal.line();
  const ranks = shownEnergies.map((energy) => `rank ${percent(energy, 0)}`);
  terminal.table(
    columnsOf("weights", "zeros", "least", "greatest", ...ranks, "of"),
    numbers.map(({ name, zeros, least, greatest, ranks: counts }) => [
      name,
      percent(zeros),
      least.toPrecision(3),
      greatest.toPrecision(3),
      ...shownEnergies.map((_, index) => (counts === undefined ? "–" : integer(counts.holding[index] ?? 0))),
      counts === undefined ? (Number.isFinite(least + greatest) ? "too large" : "–") : integer(counts.of),
    ]),
  );
  terminal.line(
    terminal.color.dim("rank 95 %: the rank of pith factorize that keeps 95 % of the energy (sum of squared weights)"),
  );
}

/** Returns "embedding table embed: 786 kB, 12.1 % of the file; 202 kB in 8 bits, 126 kB in 4 (quantize --scheme weights --bits 4)". */
export function tableLine({ layer, tied, bytes: now, int8, int4 }: TableSaving, file: number): string {
  const shared =
    tied.length === 0
      ? ""
      : `, also the weight of ${tied.slice(0, 2).join(" and ")}, which shares its quantized values`;
  const int4Text = int4 === undefined ? "" : `, ${bytes(int4)} in 4 (quantize --scheme weights --bits 4)`;
  return `embedding table ${layer}${shared}: ${bytes(now)}, ${percent(now / file)} of the file; ${bytes(int8)} in 8 bits${int4Text}`;
}

function showSavings({ layers, savings, bytes: file }: InspectedFile, terminal: Printer): void {
  const { int8, float16, channels, lowRank } = savings;
  const layersText = (some: number): string => `${integer(some)} of ${integer(layers.length)} layers`;
  const sizes = ({ before, after }: Saving): string[] => [bytes(before), bytes(after), times(before / after)];
  const lowRankText = `at most ${layersText(lowRank.layers)} become two smaller layers (--weights shows ranks)`;
  const rows = [
    int8.layers > 0 ? ["quantize --scheme weights", ...sizes(int8), layersText(int8.layers)] : [],
    float16.layers > 0 ? ["quantize --scheme float16", ...sizes(float16), layersText(float16.layers)] : [],
    channels.cuttable > 0
      ? [
          `prune --structured ${percent(channels.share, 0).replace(" ", "")}`,
          ...sizes(channels),
          `${layersText(channels.layers)} (${integer(channels.cuttable)} of ${integer(channels.channels)} channels can be removed); then pith recover`,
        ]
      : [],
    lowRank.layers > 0 ? ["factorize --budget 70%", "", "70 %", "", lowRankText] : [],
  ].filter((row) => row.length > 0);
  if (rows.length === 0) return;
  terminal.line();
  terminal.table([...columnsOf("estimated savings", "weights", "after", ""), { title: "" }], rows);
  const large = savings.tables.filter((table) => table.bytes >= minTableShare * file);
  for (const table of large.slice(0, maxNotes)) terminal.line(tableLine(table, file));
  const reasons = groupBy(
    layers.flatMap(({ kept, name }) => (kept === undefined ? [] : { ...kept, name })),
    ({ reason }) => reason,
  );
  for (const group of [...reasons.values()].slice(0, maxNotes)) {
    const names = joinList(group.map(({ name }) => name));
    terminal.line(`channels of ${names} that cannot be removed: ${formatReason(group[0])}`);
  }
}

function showMisses({ notUnderstood }: InspectedFile, terminal: Printer): void {
  if (notUnderstood.length === 0) return;
  terminal.line();
  terminal.line(`not understood (${integer(notUnderstood.length)}):`);
  const groups = groupBy(notUnderstood, ({ at, reason }) => `${at?.replace(/ ".*/, "")} ${reason}`);
  const lines = [...groups.values()].map(([{ at, reason }, ...more]) => {
    const first = at === undefined ? reason : `${at}: ${reason}`;
    return more.length === 0 ? first : `${first}; and ${integer(more.length)} more nodes of this operator`;
  });
  for (const line of lines.slice(0, maxNotes)) terminal.line(`  ${line}`);
  if (lines.length > maxNotes) terminal.line(`  and ${integer(lines.length - maxNotes)} more (--json has all)`);
}

/** Returns lines such as "12 blocks of one kind: encoder.layer.0 … encoder.layer.11 (6 layers, 7.1 M parameters each)". */
export function blockLines({ all, repeats }: Inspection["blocks"]): readonly string[] {
  return repeats.flatMap(({ first, count: blocks }) => {
    const [row, last] = [all[first], all[first + blocks - 1]];
    if (row === undefined || last === undefined || row.layers.length === 0) return [];
    const layers = `${counted(row.layers.length, "layer")}`;
    const names = `${row.name} … ${last.name}`;
    return [
      `${integer(blocks)} blocks of one kind: ${names} (${layers}, ${count(row.parameters)} parameters each; --drop-layers of pith prune removes some)`,
    ];
  });
}
