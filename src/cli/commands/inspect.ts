/** `pith inspect`: what is in a model. Nothing is run, and no weight is read. */
import { basename } from "node:path";
import * as v from "valibot";
import { cost } from "../../analysis/cost.ts";
import { infer } from "../../analysis/infer.ts";
import { layers } from "../../analysis/layers.ts";
import { allGraphs, type Graph, type Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { open } from "../../onnx/index.ts";
import { type Dim, dimsText, dimText, elementCount } from "../../tensor/dims.ts";
import type { Tensor } from "../../tensor/types.ts";
import { defineCommand, type Result } from "../command.ts";
import { fileBytes, filesOf } from "../files.ts";
import { bytes, count, integer } from "../numbers.ts";
import type { Terminal } from "../terminal.ts";

/** Reasons that are printed; the rest is counted. */
const shownMisses = 5;

export default defineCommand({
  name: "inspect",
  summary: "what is in a model: inputs, outputs, operators, layers, sizes",
  arguments: [{ name: "model.onnx", description: "the model" }],
  options: v.object({}),
  examples: ["inspect model.onnx", "inspect model.onnx --json"],
  async run([path = ""]) {
    const model = await open(path);
    return show(describeModel(model, path, await fileBytes(filesOf(model, path))));
  },
});

/** A count of stored tensors of one element type. */
interface Stored {
  readonly type: string;
  readonly tensors: number;
  readonly elements: number;
  readonly bytes: number;
}

interface Port {
  readonly name: string;
  readonly type: string | undefined;
  readonly dims: string;
}

interface LayerRow {
  readonly name: string;
  readonly operator: string;
  readonly weight: string;
  readonly outputs: number;
  readonly inputs: number;
  readonly groups: number;
  readonly parameters: number;
  readonly macs: Multiple | undefined;
}

/** A number of operations: `count` for each `per` ("batch", "batch*seq"), or in all. */
interface Multiple {
  readonly count: number | undefined;
  readonly per: string | undefined;
}

type Description = ReturnType<typeof describeModel>;

/** @param size bytes of the model file and the files that hold its weights. */
export function describeModel(model: Model, path: string, size: number) {
  const { header, graph } = model;
  const inference = infer(model);
  const costs = cost(model, inference);
  return {
    file: path,
    bytes: size,
    producer: [header.producerName, header.producerVersion].filter((part) => part !== "").join(" "),
    irVersion: header.irVersion,
    opsets: Object.fromEntries([...header.opsets].map(([domain, version]) => [domain || "ai.onnx", version])),
    inputs: graph.feeds.map(port),
    outputs: graph.outputs.map(port),
    operators: countOperators(graph),
    parameters: costs.parameters,
    macs: multiple(costs.macs),
    layers: layers(model, inference).map((layer): LayerRow => {
      const { type, dims } = layer.weight.type ?? {};
      return {
        name: layer.name,
        operator: layer.node.op,
        weight: `${type ?? "?"} ${dimsText(dims)}`,
        outputs: layer.outputs,
        inputs: layer.inputs,
        groups: layer.role.groups,
        parameters: layer.weight.tensor === undefined ? 0 : elementCount(layer.weight.tensor.dims),
        macs: multiple(costs.perNode.get(layer.node)),
      };
    }),
    notUnderstood: [...inference.misses, ...costs.misses].map(({ reason, at }) => ({ at, reason })),
    stored: countStored(graph),
    roles: countRoles(graph),
    metadata: Object.fromEntries(header.metadata),
  };
}

function port(value: Value): Port {
  return { name: value.name, type: value.type?.type, dims: dimsText(value.type?.dims) };
}

function multiple(dim: Dim | undefined): Multiple | undefined {
  if (dim === undefined || typeof dim === "number")
    return dim === undefined ? undefined : { count: dim, per: undefined };
  const product = /^(?:(\d+)\*)?([^ ]+)$/.exec(dimText(dim));
  return product === null
    ? { count: undefined, per: dimText(dim) }
    : { count: Number(product[1] ?? 1), per: product[2] };
}

function multipleText(value: Multiple | undefined): string {
  if (value === undefined) return "?";
  if (value.count === undefined) return value.per ?? "?";
  return value.per === undefined ? count(value.count) : `${count(value.count)} × ${value.per}`;
}

/** Operator → number of nodes, subgraphs included, most frequent first. */
function countOperators(graph: Graph): Record<string, number> {
  const counts = new Map<string, number>();
  for (const part of allGraphs(graph)) {
    for (const node of part.nodes()) {
      const name = node.domain === "" ? node.op : `${node.domain}.${node.op}`;
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  return Object.fromEntries([...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)));
}

/** Stored tensors by element type, largest first. A tensor stored under two names counts once. */
function countStored(graph: Graph): Stored[] {
  const tensors = new Set<Tensor>();
  for (const part of allGraphs(graph)) {
    for (const { tensor } of part.values()) if (tensor !== undefined) tensors.add(tensor);
    for (const node of part.nodes()) {
      for (const attribute of node.attributes.values()) if (attribute.kind === "tensor") tensors.add(attribute.value);
    }
  }
  const byType = new Map<string, Stored>();
  for (const { type, dims, bytes: size } of tensors) {
    const before = byType.get(type) ?? { type, tensors: 0, elements: 0, bytes: 0 };
    const elements = before.elements + elementCount(dims);
    byType.set(type, { type, tensors: before.tensors + 1, elements, bytes: before.bytes + size });
  }
  return [...byType.values()].sort((a, b) => b.bytes - a.bytes);
}

function countRoles(graph: Graph): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const part of allGraphs(graph)) {
    for (const { role } of part.values()) if (role !== undefined) counts[role.kind] = (counts[role.kind] ?? 0) + 1;
  }
  return counts;
}

function show(data: Description): Result {
  return {
    data,
    print(terminal: Terminal) {
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
        [
          { title: "stored" },
          { title: "tensors", align: "right" },
          { title: "elements", align: "right" },
          { title: "size", align: "right" },
        ],
        data.stored.map((row) => [row.type, integer(row.tensors), count(row.elements), bytes(row.bytes)]),
      );
      terminal.line();
      terminal.line(
        `${integer(data.layers.length)} layers; ${count(data.parameters)} parameters; ${multipleText(data.macs)} MACs`,
      );
      if (data.layers.length > 0) {
        const left = ["layer", "operator", "weight"].map((title) => ({ title }));
        const right = ["parameters", "MACs"].map((title) => ({ title, align: "right" as const }));
        terminal.table(
          [...left, ...right],
          data.layers.map((layer) => [
            layer.name,
            layer.operator + (layer.groups === 1 ? "" : ` (${integer(layer.groups)} groups)`),
            layer.weight,
            integer(layer.parameters),
            multipleText(layer.macs),
          ]),
        );
      }
      const roles = Object.entries(data.roles).map(([role, number]) => `${integer(number)} ${role}`);
      if (roles.length > 0) terminal.line(`roles: ${roles.join(", ")}`);
      if (data.notUnderstood.length > 0) {
        terminal.line();
        terminal.line(`not understood (${integer(data.notUnderstood.length)}):`);
        for (const { at, reason } of data.notUnderstood.slice(0, shownMisses)) {
          terminal.line(`  ${at === undefined ? "" : `${at}: `}${reason}`);
        }
        if (data.notUnderstood.length > shownMisses) {
          terminal.line(`  and ${integer(data.notUnderstood.length - shownMisses)} more (--json has all)`);
        }
      }
    },
  };
}
