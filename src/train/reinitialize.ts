/**
 * A network as it was before it learnt anything: its graph, with numbers that are drawn anew (`initialization.ts` says from what). Running statistics say
 * a mean of 0 and a variance of 1, and get the role `state`, by which any later training measures them anew: that is said where it is done.
 *
 * Roles are honoured: buffers and masks stay, what is tied stays tied.
 */
import * as v from "valibot";
import { infer } from "../analysis/infer.ts";
import { layersInside } from "../analysis/no-layers.ts";
import { parametersOf } from "../analysis/parameters.ts";
import { Miss } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { storeWeights } from "../passes/lift-constants.ts";
import { type Change, type Context, definePass, type Outcome } from "../passes/pass.ts";
import { type FloatType, fromNumbers, isFloat, toFloat64 } from "../tensor/convert.ts";
import { inMemory } from "../tensor/dense.ts";
import { elementCount } from "../tensor/dims.ts";
import { random } from "../tensor/random.ts";
import type { Tensor } from "../tensor/types.ts";
import { type Initialization, initializationOf } from "./initialization.ts";
import { quantizedWeights } from "./quantized-weights.ts";
import { declareRoles } from "./roles.ts";
import { reportParted } from "./shared-constants.ts";
import { copyOfTied } from "./ties.ts";

/**
 * Draws all parameters of a model anew, in place, by the seed of the context: the same network, to be trained from scratch. Parameters of which no
 * operator says what they are, and weights that are stored as codes, stay, and are Misses.
 *
 * Source: He et al. 2015, "Delving deep into rectifiers"; Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward
 * neural networks".
 * @example
 * await reinitialize(model, {}, { seed: 1 });
 * await train(model, { data, epochs: 20 });
 */
export const reinitialize = definePass({
  id: "reinitialize",
  summary: "Reinitialize all weights, to train a network from scratch",
  options: v.strictObject({}),
  beginsAnew: true,
  command: { suffix: () => "fresh", examples: ["reinitialize model.onnx -o fresh.onnx --seed 1"] },
  run: (model, _, context) => drawAnew(model, context),
});

async function drawAnew(model: Model, context: Context): Promise<Outcome> {
  const { seed, log } = context;
  storeWeights(model);
  const roles = await declareRoles(model, { batchStatistics: true });
  const inference = infer(model);
  const parameters = parametersOf(model, inference);
  const changes: Change[] = [];
  const misses: Miss[] = [];
  const values = [...model.graph.values()];
  for (const value of values) {
    const { tensor, name, role } = value;
    const type = tensor?.type;
    if (tensor === undefined || type === undefined || !isFloat(type)) continue;
    if (!parameters.has(value) && role?.kind !== "state") continue;
    const start = initializationOf(value, inference);
    if (start === undefined) {
      misses.push(new Miss("no operator defines its initial value: it is not changed", name));
      continue;
    }
    value.tensor = drawn(type, tensor.dims, start, seed, name);
    const what =
      typeof start === "number" ? `all ${start}` : `normal, deviation ${Math.sqrt(start.variance).toPrecision(3)}`;
    changes.push({ at: name, what, decidedBy: "global" });
  }
  const redrawn = new Set(changes.map(({ at }) => at));
  for (const value of values) {
    const { role, tensor } = value;
    const first = role?.kind === "tied" && redrawn.has(role.name) ? model.graph.value(role.name)?.tensor : undefined;
    const type = tensor?.type;
    if (role?.kind !== "tied" || first === undefined || tensor === undefined || type === undefined || !isFloat(type))
      continue;
    const numbers = copyOfTied(toFloat64(await first.read()), first.dims, role.transposed);
    value.tensor = inMemory(fromNumbers(type, tensor.dims, numbers));
  }
  misses.push(...quantizedWeights(model, inference), ...layersInside(model, inference));
  if (changes.length > 0) reportParted(roles.parted, context);
  const states = [...model.graph.values()].filter(({ role }) => role?.kind === "state").length;
  if (changes.length > 0 && states > 0) {
    const text = states === 1 ? "1 running statistic" : `${states} running statistics`;
    log({ id: "states", text: `${text} will follow the batches in training, with or without --batch-statistics` });
  }
  return { changes, misses };
}

function drawn(type: FloatType, dims: readonly number[], start: Initialization, seed: number, name: string): Tensor {
  const numbers = random(seed, "reinitialize", name);
  const deviation = typeof start === "number" ? 0 : Math.sqrt(start.variance);
  const entry = typeof start === "number" ? () => start : () => deviation * numbers.normal();
  return inMemory(fromNumbers(type, dims, Float64Array.from({ length: elementCount(dims) }, entry)));
}
