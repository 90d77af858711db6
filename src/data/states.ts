/**
 * Models that carry something from one step to the next: an output is fed as an input the next time.
 *
 * Which output belongs to which input is stored with the model, or guessed: an input that the data does not give takes the output of its type
 * and shape; where several would fit, names decide (state and stateN, h0 and hn, past.0 and present.0), then their order. The only output is the
 * answer, and a state only by name.
 * States begin as zeros, at the first sample and wherever the data says that something new begins (the column "begin").
 */
import { PithError } from "../errors.ts";
import type { ValueType } from "../graph/graph.ts";
import { bytesFor, viewBytes } from "../tensor/dense.ts";
import { type Dim, dimsText, elementCount } from "../tensor/dims.ts";
import type { Batch, Dense } from "../tensor/types.ts";

/** The column that marks samples before which states are zeros: bool [N]. */
export const beginColumn = "begin";

/** An output that is fed as an input at the next step. */
export interface State {
  readonly input: string;
  readonly output: string;
}

interface Port {
  readonly name: string;
  readonly type: ValueType | undefined;
}

/** What finding states needs to know of a model; `Model` has it. */
export interface StatefulModel {
  readonly graph: { readonly feeds: readonly Port[]; readonly outputs: readonly Port[] };
  readonly header: { readonly metadata: Map<string, string> };
}

/** The key under which a model's metadata lists its states. */
const statesKey = "pith.states";

/**
 * Says which outputs of a model are fed as which inputs at the next step: stored in the model, and in the file if it is saved.
 * @throws PithError E_NAME for an input or output that the model does not have.
 */
export function setStates(model: StatefulModel, states: readonly State[]): void {
  const { feeds, outputs } = model.graph;
  for (const { input, output } of states) {
    requireNamed(feeds, input, "input");
    requireNamed(outputs, output, "output");
  }
  model.header.metadata.set(statesKey, JSON.stringify(states.map(({ output, input }) => [output, input])));
}

function requireNamed(ports: readonly Port[], name: string, kind: string): void {
  if (ports.some((port) => port.name === name)) return;
  const known = ports.map((port) => port.name).join(", ");
  throw new PithError("E_NAME", `The model has no ${kind} "${name}" to carry a state, only ${known}.`);
}

/** "stateN=state", as flags say it: the output, then the input that takes it. @throws PithError E_OPTION */
export function parseState(text: string): State {
  const at = text.indexOf("=");
  const [output, input] = [text.slice(0, at), text.slice(at + 1)];
  if (at > 0 && input !== "") return { output, input };
  throw new PithError("E_OPTION", `"${text}" is not a state: expected output=input.`, {
    hint: "For instance stateN=state.",
  });
}

/** The states of a model: those it says, or those guessed for inputs that the data (`given`: the names of its columns) does not give. */
export function findStates(model: StatefulModel, given: readonly string[]): readonly State[] {
  const { feeds, outputs } = model.graph;
  const stored = storedStates(model).filter(({ input }) => !given.includes(input));
  const open = feeds.filter(({ name }) => !given.includes(name) && !stored.some(({ input }) => input === name));
  // A model with one input is fed with whatever the data holds.
  if (feeds.length < 2 || open.length === 0) return stored;
  const free = outputs.filter(({ name }) => !stored.some(({ output }) => output === name));
  const fits = open.map((input) => free.filter((output) => matches(input.type, output.type)));
  const taken = new Set<string>();
  const found: State[] = [];
  const take = (input: Port, output: Port | undefined): void => {
    if (output === undefined || taken.has(output.name) || found.some((state) => state.input === input.name)) return;
    taken.add(output.name);
    found.push({ input: input.name, output: output.name });
  };
  open.forEach((input, index) => {
    const named = fits[index]?.filter((output) => alike(input.name, output.name)) ?? [];
    if (named.length === 1) take(input, named[0]);
  });
  open.forEach((input, index) => {
    const left = fits[index]?.filter((output) => !taken.has(output.name)) ?? [];
    const rivals = open.filter(
      (other, at) => !found.some((state) => state.input === other.name) && sameFits(fits[at], fits[index]),
    );
    // As many inputs as outputs of one shape: they are listed in one order.
    if (outputs.length > 1 && left.length === rivals.length) take(input, left[0]);
  });
  return [...stored, ...found];
}

function storedStates(model: StatefulModel): readonly State[] {
  const text = model.header.metadata.get(statesKey);
  if (text === undefined) return [];
  const parsed: unknown = JSON.parse(text);
  if (!Array.isArray(parsed)) return [];
  return parsed.flatMap((pair: unknown) =>
    Array.isArray(pair) && typeof pair[0] === "string" && typeof pair[1] === "string"
      ? [{ output: pair[0], input: pair[1] }]
      : [],
  );
}

function sameFits(a: readonly Port[] | undefined, b: readonly Port[] | undefined): boolean {
  return a !== undefined && b !== undefined && a.length === b.length && a.every((port, index) => port === b[index]);
}

/** Whether an output can be an input: same type, as many axes, no two different fixed sizes. Numbers of one axis or none are no states. */
function matches(input: ValueType | undefined, output: ValueType | undefined): boolean {
  if (input === undefined || output === undefined || input.type !== output.type) return false;
  const [a, b] = [input.dims, output.dims];
  if (a === undefined || a.length < 2) return false;
  return b === undefined || (a.length === b.length && a.every((dim, axis) => compatible(dim, b[axis])));
}

function compatible(a: Dim, b: Dim | undefined): boolean {
  return typeof a !== "number" || typeof b !== "number" || a === b;
}

/** Words that say before or after, and nothing of what a state is. */
const beforeAndAfter =
  /past|present|prev(?:ious)?|next|new|old|last|initial|init|updated?|input|output|in(?![a-z])|out(?![a-z])|key_values/gi;

/** "state" and "stateN", "h0" and "hn", "past_key_values.0.key" and "present.0.key". */
function alike(input: string, output: string): boolean {
  const bare = (name: string): string => name.replaceAll(beforeAndAfter, "").replaceAll(/[^a-z0-9]/gi, "");
  const [a, b] = [bare(input), bare(output)];
  if (a.toLowerCase() === b.toLowerCase() && a !== "") return true;
  return a !== "" && a.replace(/0$/, "").toLowerCase() === b.replace(/[nN]$/, "").toLowerCase();
}

/** "state from stateN", for what is stated. */
export function statesText(states: readonly State[]): string {
  return states.map(({ input, output }) => `${input} from ${output}`).join(", ");
}

/**
 * Zeros of a state's shape, for one sample.
 * @param size what a dimension is, where the model decides it; all others count samples.
 */
export function initialState(input: Port, size: (dim: Dim) => Dim): Dense {
  const { type, dims } = input.type ?? { type: "float32" as const, dims: undefined };
  if (dims === undefined || type === "string") {
    throw new PithError("E_DATA", `The state "${input.name}" has no fixed shape, so there are no zeros to begin with.`);
  }
  const fixed = dims.map((dim) => {
    const known = size(dim);
    return typeof known === "number" ? known : 1;
  });
  return viewBytes(type, fixed, new Uint8Array(bytesFor(type, elementCount(fixed))));
}

/** An output as the input of the next step. @throws PithError E_DATA if the output is another shape now. */
export function carried(outputs: Batch, { output, input }: State, before: Dense): Dense {
  const dense = outputs[output];
  if (dense !== undefined && dense.type === before.type && dense.data.length === before.data.length) {
    return { ...dense, dims: before.dims } as Dense;
  }
  const got = dense === undefined ? "nothing" : `${dense.type}${dimsText(dense.dims)}`;
  throw new PithError(
    "E_DATA",
    `The state "${input}" is ${before.type}${dimsText(before.dims)}, "${output}" gives ${got}.`,
    { hint: 'Set the states: `states: "output=input"`.' },
  );
}
