/**
 * Finds the states of models in which an output is fed as an input at the next step. Pairs of output and input are stored in the model's metadata, or
 * guessed: an input without data is paired with an output of equal type and shape; if several outputs fit, names decide, then the order.
 * States start as zeros, and are reset at samples whose column "begin" is true.
 */
import type { Batch, Dense, Dim, ValueType } from "#ir";
import { bytesFor, dataError, dimsText, elementCount, optionError, PithError, viewBytes } from "#ir";

/** Column of type bool [N] that marks samples before which states are reset. */
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

export interface StatefulModel {
  readonly graph: { readonly feeds: readonly Port[]; readonly outputs: readonly Port[] };
  readonly header: { readonly metadata: Map<string, string> };
}

const statesKey = "pith.states";

/** Stores which outputs of a model are fed as which inputs at the next step. @throws PithError E_NAME for an unknown input or output. */
export function setStates(model: StatefulModel, states: readonly State[]): void {
  const { feeds, outputs } = model.graph;
  for (const { input, output } of states) {
    requirePort(feeds, input, "input");
    requirePort(outputs, output, "output");
  }
  model.header.metadata.set(statesKey, JSON.stringify(states.map(({ output, input }) => [output, input])));
}

function requirePort(ports: readonly Port[], name: string, kind: string): void {
  if (ports.some((port) => port.name === name)) return;
  const names = ports.map((port) => port.name).join(", ");
  throw new PithError("E_NAME", `The model has no ${kind} "${name}" to carry a state, only ${names}.`);
}

/** Parses "stateN=state": the output, then the input. @throws PithError E_OPTION */
export function parseState(text: string): State {
  const [, output = "", input = ""] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
  if (output !== "") return { output, input };
  throw optionError(`"${text}" is not a state: expected output=input.`, { hint: "For instance stateN=state." });
}

/** Returns the states of inputs that the data does not contain: stored ones, and guessed ones. */
export function findStates(model: StatefulModel, columns: readonly string[]): readonly State[] {
  const { feeds, outputs } = model.graph;
  const knownStates = storedStates(model).filter(({ input }) => !columns.includes(input));
  const unfedInputs = feeds.filter(
    ({ name }) => !columns.includes(name) && !knownStates.some(({ input }) => input === name),
  );
  // A model's only input is not a state.
  if (feeds.length < 2 || unfedInputs.length === 0) return knownStates;
  const unusedOutputs = outputs.filter(({ name }) => !knownStates.some(({ output }) => output === name));
  const fittingOutputs = unfedInputs.map((input) =>
    unusedOutputs.filter((output) => canShareState(input.type, output.type)),
  );
  const guesses = new Map<Port, Port>();
  const isPaired = (output: Port): boolean => [...guesses.values()].includes(output);
  const pair = (input: Port, output: Port | undefined): void => {
    if (output !== undefined && !isPaired(output) && !guesses.has(input)) guesses.set(input, output);
  };
  unfedInputs.forEach((input, index) => {
    const sameNameOutputs = fittingOutputs[index]?.filter((output) => areNamedAlike(input.name, output.name)) ?? [];
    if (sameNameOutputs.length === 1) pair(input, sameNameOutputs[0]);
  });
  unfedInputs.forEach((input, index) => {
    const unpairedOutputs = fittingOutputs[index]?.filter((output) => !isPaired(output)) ?? [];
    const rivals = unfedInputs.filter(
      (other, otherIndex) => !guesses.has(other) && haveSamePorts(fittingOutputs[otherIndex], fittingOutputs[index]),
    );
    // If equally many inputs and outputs have the same shape, they are paired in order.
    if (outputs.length > 1 && unpairedOutputs.length === rivals.length) pair(input, unpairedOutputs[0]);
  });
  return [...knownStates, ...Array.from(guesses, ([input, output]) => ({ input: input.name, output: output.name }))];
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

function haveSamePorts(a: readonly Port[] | undefined, b: readonly Port[] | undefined): boolean {
  return a !== undefined && b !== undefined && a.length === b.length && a.every((port, index) => port === b[index]);
}

/** Returns whether two types can belong to one state: equal element type and rank of at least two, without different fixed sizes. */
function canShareState(input: ValueType | undefined, output: ValueType | undefined): boolean {
  if (input === undefined || output === undefined || input.type !== output.type) return false;
  const [a, b] = [input.dims, output.dims];
  if (a === undefined || a.length < 2) return false;
  return b === undefined || (a.length === b.length && a.every((dim, axis) => areCompatible(dim, b[axis])));
}

function areCompatible(a: Dim, b: Dim | undefined): boolean {
  return typeof a !== "number" || typeof b !== "number" || a === b;
}

/** Matches the words in names by which the input and the output of a state differ, such as "past" and "present". */
const directionWords =
  /past|present|prev(?:ious)?|next|new|old|last|initial|init|updated?|input|output|in(?![a-z])|out(?![a-z])|key_values/gi;

/** Returns whether two names belong to one state, such as "state" and "stateN", "h0" and "hn", or "past_key_values.0.key" and "present.0.key". */
function areNamedAlike(input: string, output: string): boolean {
  const removeDirection = (name: string): string => name.replaceAll(directionWords, "").replaceAll(/[^a-z0-9]/gi, "");
  const [a, b] = [removeDirection(input), removeDirection(output)];
  if (a.toLowerCase() === b.toLowerCase() && a !== "") return true;
  return a !== "" && a.replace(/0$/, "").toLowerCase() === b.replace(/[nN]$/, "").toLowerCase();
}

export function statesText(states: readonly State[]): string {
  return states.map(({ input, output }) => `${input} from ${output}`).join(", ");
}

/** Returns zeros for the state of one sample. @param size returns the size of a dimension, if it is fixed; others count samples, so they are 1. */
export function initialState(input: Port, size: (dim: Dim) => Dim): Dense {
  const { type, dims } = input.type ?? { type: "float32" as const, dims: undefined };
  if (dims === undefined || type === "string") {
    throw dataError(`The state "${input.name}" has no fixed shape, so it cannot start with zeros.`);
  }
  const stateDims = dims.map((dim) => {
    const resolvedSize = size(dim);
    return typeof resolvedSize === "number" ? resolvedSize : 1;
  });
  return viewBytes(type, stateDims, new Uint8Array(bytesFor(type, elementCount(stateDims))));
}

/** Returns an output as the input of the next step. @throws PithError E_DATA if its type or number of elements differs. */
export function nextState(outputs: Batch, { output, input }: State, previous: Dense): Dense {
  const dense = outputs[output];
  if (dense !== undefined && dense.type === previous.type && dense.data.length === previous.data.length) {
    return { ...dense, dims: previous.dims } as Dense;
  }
  const got = dense === undefined ? "nothing" : `${dense.type}${dimsText(dense.dims)}`;
  throw dataError(`The state "${input}" is ${previous.type}${dimsText(previous.dims)}, "${output}" gives ${got}.`, {
    hint: 'Set the states: `states: "output=input"`.',
  });
}
