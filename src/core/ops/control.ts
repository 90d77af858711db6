/**
 * If, Loop and Scan. The outputs of If have the types and dimensions that both branches share. The outputs of loops have what holds in every
 * iteration (`Body.inferFixedPoint`). Before opset 9, the inputs of Scan have a leading batch axis.
 */
import { type Dim, extremeDims, Miss, multiplyDims } from "#graph";
import { type Body, defineOp, type Inferred, type OpDef, type Site } from "./define.ts";
import { readInteger, readIntegers, wrapAxis } from "./shared/attributes.ts";
import { knownScalarOf } from "./shared/elements.ts";
import { mergeOperands } from "./shared/merge-types.ts";

const facets = {
  axes: new Miss("holds graphs"),
  gradient: new Miss("runs its body as a subgraph, which is not unrolled"),
} satisfies Partial<OpDef<unknown>>;

const acceptsContainers = true as const;

function conditionOf(site: Site): boolean | undefined {
  const element = knownScalarOf(site.inputs[0]);
  return typeof element === "number" ? element !== 0 : undefined;
}

export const If = defineOp({
  name: "If",
  containers: acceptsContainers,
  read: (site) => {
    const [thenBranch, elseBranch] = [site.body("then_branch"), site.body("else_branch")];
    return thenBranch === undefined || elseBranch === undefined
      ? new Miss("has no graph for one of its branches")
      : { thenBranch, elseBranch };
  },
  infer: ({ thenBranch, elseBranch }, site) => {
    const condition = conditionOf(site);
    if (condition !== undefined) return (condition ? thenBranch : elseBranch).infer([]);
    const [a, b] = [thenBranch.infer([]), elseBranch.infer([])];
    return a.map((operand, output) => {
      const otherOperand = b[output];
      return operand === undefined || otherOperand === undefined
        ? undefined
        : mergeOperands(operand, otherOperand, (axis) => site.open(output, axis));
    });
  },
  ...facets,
  cost: ({ thenBranch, elseBranch }, site) => {
    const condition = conditionOf(site);
    if (condition !== undefined) return (condition ? thenBranch : elseBranch).macs();
    const [a, b] = [thenBranch.macs(), elseBranch.macs()];
    if (a instanceof Miss) return a;
    return b instanceof Miss ? b : extremeDims("max", [a, b]);
  },
});

/** Gives a scalar the dimensions [1] if the body declares it as a vector. */
function matchBodyScalar(body: Body, input: number, scalar: Inferred): Inferred {
  return body.inputs[input]?.dims?.length === 1 ? { ...scalar, dims: [1] } : scalar;
}

export const Loop = defineOp({
  name: "Loop",
  containers: acceptsContainers,
  read: (site) => {
    const body = site.body("body");
    return body === undefined ? new Miss("has no body") : { body };
  },
  infer: ({ body }, site) => {
    const [limit, condition, ...initialOperands] = site.inputs;
    const carriedOperands = initialOperands.flatMap((operand) => operand ?? []);
    if (carriedOperands.length < initialOperands.length) return new Miss("the initial values are not known");
    const elements = condition === undefined ? [1] : condition.elements;
    const initialCondition: Inferred = { type: "bool", dims: [], ...(elements && { elements }) };
    const counter = matchBodyScalar(body, 0, { type: "int64", dims: [] });
    const fixedPoint = body.inferFixedPoint(
      [matchBodyScalar(body, 1, initialCondition), ...carriedOperands],
      (states) =>
        body
          .infer([counter, ...states])
          .map((output, index) => (index === 0 ? output && { ...output, dims: states[0]?.dims } : output)),
      (state, axis) => site.open(state - 1, axis),
    );
    if (fixedPoint instanceof Miss) return fixedPoint;
    const [lastCondition, ...states] = fixedPoint.states;
    // A known trip count requires a condition that stays true.
    const count = lastCondition?.elements?.[0] === 1 ? limit?.elements?.[0] : undefined;
    const scanOutputs = fixedPoint.others.map((output, index): Inferred | undefined => {
      if (output === undefined || output.container !== undefined) return undefined;
      const { type, dims } = output;
      return { type, dims: dims && [count ?? site.open(states.length + index, 0), ...dims] };
    });
    return [...states, ...scanOutputs];
  },
  ...facets,
  cost: ({ body }, site) => {
    const count = site.inputs[0]?.elements?.[0];
    const perIteration = body.macs();
    if (perIteration instanceof Miss || perIteration === 0) return perIteration;
    return count === undefined
      ? new Miss("the number of iterations is not known before the run")
      : multiplyDims(count, perIteration);
  },
});

export const Scan = defineOp({
  name: "Scan",
  read: (site) => {
    const body = site.body("body");
    if (body === undefined) return new Miss("has no body");
    return {
      body,
      scanInputCount: readInteger(site, "num_scan_inputs", 0),
      inputAxes: readIntegers(site, "scan_input_axes") ?? [],
      outputAxes: readIntegers(site, "scan_output_axes") ?? [],
      // Leading batch axes, which the body does not see.
      batch: site.version < 9 ? 1 : 0,
    };
  },
  infer: ({ body, scanInputCount, inputAxes, outputAxes, batch }, site) => {
    const inputs = site.inputs.slice(batch);
    const operands = inputs.flatMap((operand) => operand ?? []);
    if (operands.length < inputs.length) return new Miss("the initial values are not known");
    const stateCount = operands.length - scanInputCount;
    let length: Dim | undefined;
    let batchSize: Dim | undefined;
    const slices = operands.slice(stateCount).map(({ type, dims }, index): Inferred => {
      if (dims === undefined) return { type, dims };
      if (batch === 1) batchSize ??= dims[0];
      const axis = batch + wrapAxis(inputAxes[index] ?? 0, dims.length - batch);
      if (typeof dims[axis] === "number" || length === undefined) length = dims[axis];
      return { type, dims: dims.filter((_, index) => index !== axis && index >= batch) };
    });
    const start = operands.slice(0, stateCount).map((operand) => {
      if (batch === 0) return operand;
      batchSize ??= operand.dims?.[0];
      return { type: operand.type, dims: operand.dims?.slice(1) };
    });
    const settled = body.inferFixedPoint(
      start,
      (states) => body.infer([...states, ...slices]),
      (state, axis) => site.open(state, axis + batch),
    );
    if (settled instanceof Miss) return settled;
    const addBatch = (dims: readonly Dim[] | undefined, output: number): readonly Dim[] | undefined =>
      dims === undefined || batch === 0 ? dims : [batchSize ?? site.open(output, 0), ...dims];
    const states = settled.states.map(({ type, dims }, output): Inferred => ({ type, dims: addBatch(dims, output) }));
    const scanOutputs = settled.others.map((element, index): Inferred | undefined => {
      if (element?.dims === undefined) return element;
      const output = states.length + index;
      const axis = wrapAxis(outputAxes[index] ?? 0, element.dims.length + 1);
      const dims = element.dims.toSpliced(axis, 0, length ?? site.open(output, axis + batch));
      return { type: element.type, dims: addBatch(dims, output) };
    });
    return [...states, ...scanOutputs];
  },
  ...facets,
  cost: ({ body, inputAxes, scanInputCount, batch }, site) => {
    const dims = site.inputs.at(-scanInputCount)?.dims;
    const perIteration = body.macs();
    if (dims === undefined) return new Miss("the number of iterations is not known");
    if (perIteration instanceof Miss) return perIteration;
    const count = dims[batch + wrapAxis(inputAxes[0] ?? 0, dims.length - batch)] ?? 1;
    return multiplyDims(multiplyDims(count, perIteration), batch === 1 ? (dims[0] ?? 1) : 1);
  },
});
