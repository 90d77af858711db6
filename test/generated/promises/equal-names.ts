/** Promises about subgraphs whose names equal names of the graph around them, as exporters write merged decoders. */
import { infer } from "../../../src/core/analysis/infer.ts";
import { PithError } from "../../../src/core/errors.ts";
import { emitInto, type Subgraph } from "../../../src/core/graph/emit.ts";
import { allGraphs, type Graph, type Node, type Value } from "../../../src/core/graph/graph.ts";
import { usedValues } from "../../../src/core/graph/graph-elements.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { fromNumbers } from "../../../src/core/tensor/convert.ts";
import { float32, int64 } from "../../../src/core/tensor/dense.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { raiseOpset } from "../../../src/rewrite/edit/raise-opset.ts";
import { runs } from "../check.ts";
import type { Network } from "../network.ts";
import { Broken, expectThat } from "../runs.ts";
import type { Promised } from "./promised.ts";

const kinds = ["If", "Loop", "Scan"] as const;

/** Appends a node with a subgraph whose layers read `value`, float32 with `size` columns. Returns the node's output. */
function plant(model: Model, value: Value, size: number, kind: (typeof kinds)[number]): Value {
  const emit = emitInto(model, { by: "plant" });
  const weightOf = (seed: number) => {
    const numbers = random(seed, "plant");
    return float32(
      [size, size],
      Float32Array.from({ length: size * size }, () => numbers.normal()),
    );
  };
  const outer = emit.constant(weightOf(1), "outer.weight");
  const carried = { type: "float32", dims: infer(model).operand(value)?.dims } as const;
  if (kind === "If") {
    const flag = emit.constant(fromNumbers("bool", [], [size % 2]));
    return emit.If([flag], {
      then_branch: (inner) => [inner.Tanh([inner.MatMul([value, outer])])],
      else_branch: (inner) => [inner.MatMul([value, inner.constant(weightOf(2), "inner.weight")])],
    });
  }
  if (kind === "Loop") {
    const body: Subgraph = (inner, graph) => {
      graph.addInput("turn", { type: "int64", dims: [] });
      const go = graph.addInput("go", { type: "bool", dims: [] });
      const state = graph.addInput("state", carried);
      return [inner.Identity([go]), inner.Tanh([inner.MatMul([state, outer])])];
    };
    return emit.Loop([emit.constant(int64([], [2])), undefined, value], { body });
  }
  const item = { type: "float32", dims: carried.dims?.slice(1) } as const;
  const body: Subgraph = (inner, graph) => {
    const row = graph.addInput("row", item);
    return [inner.MatMul([inner.Unsqueeze([row, inner.constant(int64([1], [0]))]), outer])];
  };
  return emit.Scan([value], { num_scan_inputs: 1, body });
}

/**
 * Gives values in subgraphs the names of outputs of the node that contains the subgraph, and of nodes that depend on it. ONNX Runtime can reject other
 * names. Returns the number of new names.
 */
function renameInside(main: Graph, choice: number): number {
  let count = 0;
  for (const graph of allGraphs(main)) {
    const { parent } = graph;
    if (parent === undefined) continue;
    const later = new Set<Node | undefined>([parent]);
    for (const node of parent.graph.nodes())
      if (usedValues(node).some(({ producer }) => later.has(producer))) later.add(node);
    const names = [...later]
      .flatMap((node) => node?.outputs ?? [])
      .flatMap((value) => (value === undefined || value.name === "" ? [] : [value.name]));
    for (const [index, value] of [...graph.values()].entries()) {
      const place = graph.outputs.indexOf(value);
      const start = place >= 0 ? place : choice + index;
      for (let attempt = 0; attempt < 4; attempt++) {
        try {
          graph.rename(value, names[(start + attempt) % names.length] ?? "");
          count++;
          break;
        } catch (error) {
          if (!(error instanceof PithError) || error.code !== "E_NAME") throw error;
        }
      }
    }
  }
  return count;
}

/** Returns the network with another node that contains a subgraph, in which names equal outer ones; undefined if no output fits. */
function withEqualNames(network: Network, choice: number): Network | undefined {
  const model = network.model.clone();
  raiseOpset(model, 17);
  const inference = infer(model);
  const output = model.graph.outputs.find((value) => {
    const { type, dims = [] } = inference.operand(value) ?? {};
    return type === "float32" && dims.length > 1 && Number(dims.at(-1)) > 0;
  });
  const size = output && inference.operand(output)?.dims?.at(-1);
  if (output === undefined || typeof size !== "number") return undefined;
  const planted = plant(model, output, size, kinds[choice % kinds.length] ?? "If");
  const emit = emitInto(model, { by: "plant" });
  const last = emit.Tanh([emit.Add([planted, planted])]);
  model.graph.setOutputs([...model.graph.outputs, last]);
  return renameInside(model.graph, choice) === 0 ? undefined : { ...network, model, takesNone: false };
}

/** Returns a promise that one of the given promises holds for such a network. */
export function equalNames(promises: readonly Promised[]): Promised {
  return {
    name: "names in subgraphs that equal outer names",
    networks: 300,
    async keep(network) {
      const choice = network.model.graph.nodeCount + network.model.graph.outputs.length;
      let renamed: Network | undefined;
      try {
        renamed = withEqualNames(network, choice);
      } catch (error) {
        if (!(error instanceof PithError && error.code === "E_UNSUPPORTED")) throw error;
      }
      if (renamed === undefined) return;
      const faults = verify(renamed.model);
      expectThat(faults.length === 0, `illegal: ${faults[0]}`);
      if (!(await runs(renamed))) return;
      const promised = promises[(31 * choice + renamed.model.graph.nodeCount) % promises.length];
      await promised?.keep(renamed).catch((error: unknown) => {
        if (!(error instanceof Broken)) throw error;
        throw new Broken(`${promised.name}: ${error.message}`);
      });
    },
  };
}
