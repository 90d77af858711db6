/** Records what inference knows about each value: its type, and possibly dimensions and elements. */
import { isUnknownDim, Names, type Node, nameInDim, type Value } from "#graph";
import type { Inferred, Operand } from "../ops/entry.ts";
import { describeStored } from "../ops/shared/elements.ts";
import { containerOperand } from "../ops/shared/merge-types.ts";

export class ValueTypes {
  readonly #operands = new Map<Value, Operand>();
  /** Inputs of function bodies that the current call omits. */
  readonly #omitted = new Set<Value>();
  /** The name of each value's unknown dimensions. Values of two subgraphs can share a name, but these names must differ. */
  readonly #dimNames = new Map<Value, string>();
  readonly #names = new Names();
  #changes = 0;

  /** The number of calls of `record`, for caches. */
  get changes(): number {
    return this.#changes;
  }

  operandOf = (value: Value): Operand | undefined => {
    const recordedOperand = this.#operands.get(value);
    if (recordedOperand !== undefined) return recordedOperand;
    const { tensor, type, foreign } = value;
    if (tensor !== undefined) {
      const constant = { ...describeStored(tensor.type, tensor.dims, tensor.small), stored: true };
      this.#operands.set(value, constant);
      return constant;
    }
    if (type !== undefined) return { ...type, stored: false };
    return foreign?.container === undefined ? undefined : { ...containerOperand(foreign.container), stored: false };
  };

  isPresent(input: Value | undefined): input is Value {
    return input !== undefined && !this.#omitted.has(input);
  }

  inputsOf({ inputs }: Node): readonly (Operand | undefined)[] {
    return inputs.map((input) => (this.isPresent(input) ? this.operandOf(input) : undefined));
  }

  /** Records what a call of a function passes for an input of its body; undefined if it omits the input. */
  recordArgument(value: Value, argument: Operand | undefined): void {
    if (argument === undefined) this.#omitted.add(value);
    else {
      this.#omitted.delete(value);
      this.record(value, argument, argument.stored);
    }
  }

  /** Records what was inferred about a value. The file's type fills in unknown dimensions. */
  record(value: Value, inferred: Inferred | undefined, stored: boolean): void {
    this.#changes++;
    const { stated, foreign } = value;
    const container = inferred === undefined ? foreign?.container : inferred.container;
    if (container !== undefined) {
      this.#operands.set(value, { ...containerOperand(container), stored: false });
      value.inferred = undefined;
      return;
    }
    const type = inferred?.type ?? stated?.type;
    if (type === undefined) {
      value.inferred = undefined;
      this.#operands.delete(value);
      return;
    }
    const statedDims = stated?.type === type ? stated.dims : undefined;
    const rank = inferred?.dims?.length;
    // The file can state a size that inference leaves unknown.
    const dims =
      inferred?.dims?.map((dim, axis) => {
        const statedDim = isUnknownDim(dim) && statedDims?.length === rank ? statedDims?.[axis] : undefined;
        return statedDim === undefined || isUnknownDim(statedDim) ? dim : statedDim;
      }) ?? statedDims;
    value.inferred = { type, dims };
    this.#operands.set(value, { ...inferred, type, dims, stored });
  }

  /** Returns the name for unknown dimensions of an output, unique in the model. */
  dimName(node: Node, output: number): string {
    const value = node.outputs[output];
    if (value === undefined) return `${node.outputs.find((other) => other !== undefined)?.name ?? node.name}:${output}`;
    const assignedName = this.#dimNames.get(value);
    if (assignedName !== undefined) return assignedName;
    const name = this.#names.fresh(nameInDim(value.name));
    this.#names.take(name);
    this.#dimNames.set(value, name);
    return name;
  }
}
