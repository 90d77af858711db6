/** Models that a generated network can start with: examples of operators between two layers, and examples of the rules of `simplify`. */
import { infer, isRandom } from "../../src/core/analysis/infer.ts";
import { Miss } from "../../src/core/errors.ts";
import { emitInto } from "../../src/core/graph/emit.ts";
import type { Model } from "../../src/core/graph/model.ts";
import type { Example } from "../core/ops/define.examples.ts";
import { parseExample, ruleExamples } from "../core/ops/rules/index.ts";
import { examples } from "../laws/examples.ts";
import { symbolicModel } from "../laws/harness.ts";
import type { Range } from "./grow.ts";
import { weightOf } from "./weights.ts";

export interface Start extends Pick<Example, "title" | "sizes" | "feeds"> {
  /** Writes the model again, with the ranges of its inputs. */
  write(): Started;
}

export interface Started {
  readonly model: Model;
  readonly ranges: ReadonlyMap<string, Range>;
}

/** A model in which a rule applies, or the nearest one in which the rule must not apply. */
export interface Plant extends Start {
  readonly rule: string;
  readonly fires: boolean;
  /** Maximum difference of the outputs, relative to the largest value. */
  readonly tolerance: number;
}

/** Operators that return zeros, because ONNX Runtime reuses the buffer of their first input for the output if no other node reads it. */
const overwriting: ReadonlySet<string> = new Set(["MoE"]);

/** Examples that a network can start with: ONNX Runtime runs them with reproducible outputs. */
export const starts: readonly Start[] = examples
  .filter(
    (example) =>
      example.except.run === undefined &&
      example.except.sequence === undefined &&
      example.misses.read === undefined &&
      ![...symbolicModel(example).graph.nodes()].some((node) => isRandom(node) || overwriting.has(node.op)),
  )
  .map((example) => ({ ...example, write: () => between(example) }));

/** The examples of all rules. */
export const plants: readonly Plant[] = ruleExamples.flatMap(
  ({ rule, fires, keeps, sizes: { batch: _, ...sizes } = {}, tolerance = 1e-6 }) => {
    const plantOf =
      (isFiring: boolean) =>
      ([shown, text]: readonly [string, string]): Plant => ({
        ...{ title: `${rule}: ${shown}`, rule, fires: isFiring, sizes, feeds: {}, tolerance },
        write: () => planted(text),
      });
    return [...Object.entries(fires).map(plantOf(true)), ...Object.entries(keeps).map(plantOf(false))];
  },
);

/** Prefix of the names of all nodes of a rule's example. */
export const plantPrefix = "planted/";

function planted(text: string): Started {
  const model = parseExample(text);
  for (const node of model.graph.nodes()) node.name = model.graph.freshNodeName(`${plantPrefix}${node.op}`);
  return { model, ranges: rangesOf(model, {}) };
}

function rangesOf({ graph }: Model, feeds: Example["feeds"]): Map<string, Range> {
  const ranges = new Map<string, Range>();
  for (const { name, type } of graph.feeds) {
    const exampleFeed = feeds[name];
    const float = type?.type.startsWith("float") === true;
    ranges.set(
      name,
      exampleFeed !== undefined && "from" in exampleFeed
        ? { low: exampleFeed.from, high: exampleFeed.to }
        : float
          ? { low: -1, high: 1 }
          : { low: 0, high: type?.type === "bool" ? 2 : 4 },
    );
  }
  return ranges;
}

/** Returns an example with a layer before each input that accepts any numbers, and one after each output, if the sizes are known. */
function between(example: Example): Started {
  const model = symbolicModel(example);
  const { graph } = model;
  const ranges = rangesOf(model, example.feeds);
  const inference = infer(model);
  for (const input of graph.feeds) {
    const dims = input.type?.dims;
    const last = dims?.at(-1);
    if (
      input.type?.type !== "float32" ||
      dims === undefined ||
      dims.length < 2 ||
      typeof last !== "number" ||
      last === 0
    )
      continue;
    const [first] = [...graph.nodes()];
    if (first === undefined || example.feeds[input.name] !== undefined) continue;
    const uses = [...input.uses];
    // A layer cannot compute boxes and positions.
    const isWanted = uses.some(({ node, input: port }) => {
      const bound = inference.at(node);
      return !(bound instanceof Miss) && bound.wants([]).some((wanted) => wanted.input === port);
    });
    if (isWanted) continue;
    const emit = emitInto(model, { before: first, onNode: inference.visit });
    const weight = emit.constant(
      weightOf([last, last], 0, `${input.name} before`, last),
      `${input.name}.before.weight`,
    );
    const product = emit.named(`${input.name}.before`).MatMul([input, weight]);
    for (const { node, input: port } of uses) node.graph.setInput(node, port, product);
  }
  for (const output of [...graph.outputs]) {
    const outputType = inference.operand(output);
    const last = outputType?.dims?.at(-1);
    if (outputType?.type !== "float32" || (outputType.dims?.length ?? 0) < 2 || typeof last !== "number" || last === 0)
      continue;
    const emit = emitInto(model, { onNode: inference.visit });
    const weight = emit.constant(weightOf([last, 3], 0, `${output.name} behind`, last), `${output.name}.behind.weight`);
    const product = emit.named(`${output.name}.behind`).MatMul([output, weight]);
    graph.setOutputs(graph.outputs.map((other) => (other === output ? product : other)));
  }
  return { model, ranges };
}
