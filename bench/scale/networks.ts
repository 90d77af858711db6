/** Networks of any number of nodes, of the forms in which deep and wide graphs come. */
import { type Emit, emitInto } from "../../src/core/graph/emit.ts";
import type { Value } from "../../src/core/graph/graph.ts";
import { Model } from "../../src/core/graph/model.ts";
import { float32 } from "../../src/core/tensor/dense.ts";
import { symbol } from "../../src/core/tensor/dims.ts";
import { random } from "../../src/core/tensor/random.ts";

/** So small that the nodes are the cost, not the numbers. */
const width = 4;

interface Builder {
  readonly model: Model;
  readonly emit: Emit;
  readonly x: Value;
  /** How many nodes there will be. */
  readonly nodes: number;
  weight(dims: readonly number[]): Value;
}

const forms = {
  /** One layer after another. */
  chain({ emit, x, nodes, weight }: Builder): Value {
    let h = x;
    for (let node = 0; node < nodes; node += 2) h = emit.Relu([emit.MatMul([h, weight([width, width])])]);
    return h;
  },

  /** One value that all layers read, and their sum. */
  fan({ emit, x, nodes, weight }: Builder): Value {
    const branches: Value[] = [];
    for (let node = 0; node < nodes; node += 2) branches.push(emit.Relu([emit.MatMul([x, weight([width, width])])]));
    return emit.Sum(branches);
  },

  /** Blocks of two layers around a stream that all of them add to. */
  residual({ emit, x, nodes, weight }: Builder): Value {
    let h = x;
    for (let node = 0; node < nodes; node += 4) {
      const up = emit.Relu([emit.MatMul([h, weight([width, 2 * width])])]);
      h = emit.Add([h, emit.MatMul([up, weight([2 * width, width])])]);
    }
    return h;
  },

  /** Convolutions with normalization, which is folded away. */
  convolutions({ emit, x, nodes, weight }: Builder): Value {
    let h = emit.Unsqueeze([x, emit.constant({ type: "int64", dims: [2], data: BigInt64Array.of(2n, 3n) })]);
    for (let node = 0; node < nodes; node += 3) {
      const channels = [0, 1, 2].map(() => weight([width]));
      const variance = emit.constant(float32([width], new Float32Array(width).fill(1)));
      h = emit.Relu([emit.BatchNormalization([emit.Conv([h, weight([width, width, 1, 1])]), ...channels, variance])]);
    }
    return emit.Flatten([h]);
  },

  /** The same weight again and again, as in a network that is unrolled over time. */
  shared({ emit, x, nodes, weight }: Builder): Value {
    const w = weight([width, width]);
    let h = x;
    for (let node = 0; node < nodes; node += 2) h = emit.Tanh([emit.MatMul([h, w])]);
    return h;
  },

  /** A weight for every node. */
  weights({ emit, x, nodes, weight }: Builder): Value {
    let h = x;
    for (let node = 0; node < nodes; node += 2) h = emit.Add([emit.Mul([h, weight([width])]), weight([width])]);
    return h;
  },

  /** Nodes with two graphs inside. */
  inside({ model, emit, x, nodes, weight }: Builder): Value {
    let h = x;
    const flag = model.graph.addInput("flag", { type: "bool", dims: [] });
    for (let node = 0; node < nodes; node += 4) {
      const [before, w] = [h, weight([width, width])];
      h = emit.If([flag], {
        then_branch: (inner) => [inner.Relu([inner.MatMul([before, w])])],
        else_branch: (inner) => [inner.Neg([before])],
      });
    }
    return h;
  },
} satisfies Record<string, (builder: Builder) => Value>;

export type Form = keyof typeof forms;
export const allForms = Object.keys(forms) as readonly Form[];

/** Writes a network with about the given number of nodes. The weights are drawn from a seed, with the given standard deviation. */
export function networkOf(form: Form, nodes: number, deviation = 0.5): Model {
  const model = new Model();
  const { graph } = model;
  const x = graph.addInput("x", { type: "float32", dims: [symbol("batch"), width] });
  const numbers = random(1, form);
  let count = 0;
  const emit = emitInto(model);
  const weight = (dims: readonly number[]): Value => {
    const data = new Float32Array(dims.reduce((size, dim) => size * dim, 1)).map(() => deviation * numbers.normal());
    return emit.constant(float32(dims, data), `w${count++}`);
  };
  const y = forms[form]({ model, emit, x, nodes, weight });
  graph.addOutput(y);
  return model;
}
