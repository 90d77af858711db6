/**
 * If, Loop and Scan. If merges the facts of both branches unless its condition is known; loops keep facts that hold in every iteration
 * (`Body.settle`). Before opset 9 Scan has a leading batch axis, and lengths as its first input.
 */
import { Miss } from "../errors.ts";
import { type Dim, extremeDims, multiplyDims } from "../tensor/dims.ts";
import { type Body, defineOp, type Inferred, type OpDef, type Site } from "./define.ts";
import { integer, integers, wrapAxis } from "./shared/attributes.ts";
import { mergeOperands } from "./shared/merge-types.ts";

const rest = {
  axes: new Miss("holds graphs"),
  gradient: new Miss("runs its body as a subgraph, which is not unrolled"),
} satisfies Partial<OpDef<unknown>>;

const containers = true as const;

function decided(site: Site): boolean | undefined {
  const { elements, small } = site.inputs[0] ?? {};
  const [element] = elements ?? [];
  if (typeof element === "number") return element !== 0;
  return small?.type === "bool" && small.data.length === 1 ? small.data[0] !== 0 : undefined;
}

export const If = defineOp({
  name: "If",
  containers,
  read: (site) => {
    const [yes, no] = [site.body("then_branch"), site.body("else_branch")];
    return yes === undefined || no === undefined ? new Miss("has no graph for one of its branches") : { yes, no };
  },
  infer: ({ yes, no }, site) => {
    const taken = decided(site);
    if (taken !== undefined) return (taken ? yes : no).infer([]);
    const [a, b] = [yes.infer([]), no.infer([])];
    return a.map((operand, output) => {
      const other = b[output];
      return operand === undefined || other === undefined
        ? undefined
        : mergeOperands(operand, other, (axis) => site.open(output, axis));
    });
  },
  ...rest,
  cost: ({ yes, no }, site) => {
    const taken = decided(site);
    if (taken !== undefined) return (taken ? yes : no).macs();
    const [a, b] = [yes.macs(), no.macs()];
    if (a instanceof Miss) return a;
    return b instanceof Miss ? b : extremeDims("max", [a, b]);
  },
});

/** Counter and condition are scalars, unless the body declares vectors of length one. */
function scalarFor(body: Body, input: number, scalar: Inferred): Inferred {
  return body.inputs[input]?.dims?.length === 1 ? { ...scalar, dims: [1] } : scalar;
}

export const Loop = defineOp({
  name: "Loop",
  containers,
  read: (site) => {
    const body = site.body("body");
    return body === undefined ? new Miss("has no body") : { body };
  },
  infer: ({ body }, site) => {
    const [limit, condition, ...initial] = site.inputs;
    const carried = initial.flatMap((operand) => operand ?? []);
    if (carried.length < initial.length) return new Miss("the initial values are not known");
    const going: Inferred =
      condition === undefined
        ? { type: "bool", dims: [], elements: [1] }
        : { type: "bool", dims: [], ...(condition.elements === undefined ? {} : { elements: condition.elements }) };
    const counter = scalarFor(body, 0, { type: "int64", dims: [] });
    const turns = body.settle(
      [scalarFor(body, 1, going), ...carried],
      (states) =>
        body.infer([counter, ...states]).map((came, index) => (index === 0 ? asState(came, states[0]) : came)),
      (state, axis) => site.open(state - 1, axis),
    );
    if (turns instanceof Miss) return turns;
    const [still, ...states] = turns.states;
    // The trip count equals the limit only if the condition is true in every iteration.
    const count = still?.elements?.[0] === 1 ? limit?.elements?.[0] : undefined;
    const scans = turns.others.map((came, index): Inferred | undefined => {
      if (came === undefined || came.container !== undefined) return undefined;
      const output = states.length + index;
      const { type, dims } = came;
      return { type, dims: dims === undefined ? undefined : [count ?? site.open(output, 0), ...dims] };
    });
    return [...states, ...scans];
  },
  ...rest,
  cost: ({ body }, site) => {
    const turns = site.inputs[0]?.elements?.[0];
    const each = body.macs();
    if (each instanceof Miss || each === 0) return each;
    return turns === undefined
      ? new Miss("the number of iterations is not known before the run")
      : multiplyDims(turns, each);
  },
});

function asState(came: Inferred | undefined, state: Inferred | undefined): Inferred | undefined {
  return came === undefined || state === undefined ? came : { ...came, dims: state.dims };
}

export const Scan = defineOp({
  name: "Scan",
  read: (site) => {
    const body = site.body("body");
    if (body === undefined) return new Miss("has no body");
    return {
      body,
      scanned: integer(site, "num_scan_inputs", 0),
      inputAxes: integers(site, "scan_input_axes") ?? [],
      outputAxes: integers(site, "scan_output_axes") ?? [],
      // 1 if everything has a leading batch axis, which the body does not see.
      batch: site.version < 9 ? 1 : 0,
    };
  },
  infer: ({ body, scanned, inputAxes, outputAxes, batch }, site) => {
    const inputs = site.inputs.slice(batch);
    const operands = inputs.flatMap((operand) => operand ?? []);
    if (operands.length < inputs.length) return new Miss("the initial values are not known");
    const split = operands.length - scanned;
    let length: Dim | undefined;
    let samples: Dim | undefined;
    const parts = operands.slice(split).map(({ type, dims }, index): Inferred => {
      if (dims === undefined) return { type, dims };
      if (batch === 1) samples ??= dims[0];
      const axis = batch + wrapAxis(inputAxes[index] ?? 0, dims.length - batch);
      if (typeof dims[axis] === "number" || length === undefined) length = dims[axis];
      return { type, dims: dims.filter((_, at) => at !== axis && at >= batch) };
    });
    const start = operands.slice(0, split).map((operand) => {
      if (batch === 0) return operand;
      samples ??= operand.dims?.[0];
      return { type: operand.type, dims: operand.dims?.slice(1) };
    });
    const turns = body.settle(
      start,
      (states) => body.infer([...states, ...parts]),
      (state, axis) => site.open(state, axis + batch),
    );
    if (turns instanceof Miss) return turns;
    const wrapped = (dims: readonly Dim[], output: number): readonly Dim[] =>
      batch === 0 ? dims : [samples ?? site.open(output, 0), ...dims];
    const states = turns.states.map(({ type, dims }, output): Inferred => {
      return { type, dims: dims === undefined ? undefined : wrapped(dims, output) };
    });
    const scans = turns.others.map((came, index): Inferred | undefined => {
      if (came?.dims === undefined) return came;
      const output = states.length + index;
      const axis = wrapAxis(outputAxes[index] ?? 0, came.dims.length + 1);
      const dims = [...came.dims];
      dims.splice(axis, 0, length ?? site.open(output, axis + batch));
      return { type: came.type, dims: wrapped(dims, output) };
    });
    return [...states, ...scans];
  },
  ...rest,
  cost: ({ body, inputAxes, scanned, batch }, site) => {
    const dims = site.inputs.at(-scanned)?.dims;
    const each = body.macs();
    if (dims === undefined) return new Miss("the number of iterations is not known");
    if (each instanceof Miss) return each;
    const turns = dims[batch + wrapAxis(inputAxes[0] ?? 0, dims.length - batch)] ?? 1;
    return multiplyDims(multiplyDims(turns, each), batch === 1 ? (dims[0] ?? 1) : 1);
  },
});
