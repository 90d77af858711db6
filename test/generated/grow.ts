/** A graph that grows block by block. Blocks pick values to read, store weights and add inputs. */
import { type Inference, infer } from "../../src/core/analysis/infer.ts";
import { type Emit, emitInto } from "../../src/core/graph/emit.ts";
import type { Node, Value } from "../../src/core/graph/graph.ts";
import { Model } from "../../src/core/graph/model.ts";
import { fromNumbers } from "../../src/core/tensor/convert.ts";
import { float32, int64 } from "../../src/core/tensor/dense.ts";
import { type Dim, elementCount, fixedDims, isSymbolic, symbol } from "../../src/core/tensor/dims.ts";
import { random } from "../../src/core/tensor/random.ts";
import type { Batch, DataType, Dense } from "../../src/core/tensor/types.ts";
import { codesForms, forms, inCodes, kindsOfWeights, weightOf } from "./weights.ts";

/** Choices of a block, each from 0 to 999. A missing choice is 0, the simplest one. */
export type Choices = readonly number[];

/** Values of an input: integers from `low` to below `high`, or floats between them. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

export interface Style {
  readonly opset: number;
  /** Name of the batch axis; a number if the file fixes it. */
  readonly batch: string | number;
  /** Naming style of values and nodes. */
  readonly names: "modules" | "numbers" | "odd";
}

/** A model to grow from, with the ranges of its inputs. */
export interface Begun {
  readonly model: Model;
  readonly ranges: ReadonlyMap<string, Range>;
  /** The node before which blocks are written, which do not read the outputs of the model then. Undefined: the end. */
  readonly before?: Node;
  /** Values that were grown in front, for blocks to read. */
  readonly front?: readonly Value[];
}

type NumericType = Exclude<DataType, "string" | "complex64" | "complex128" | "float8e8m0">;

export class Grower {
  readonly model: Model;
  readonly emit: Emit;
  readonly inference: Inference;
  readonly style: Style;
  /** Values of the main graph that blocks can read, newest last. */
  readonly values: Value[] = [];
  readonly ranges: Map<string, Range>;
  readonly #stored: { readonly value: Value; readonly key: string }[] = [];
  #choices: Choices = [];
  #next = 0;
  #count = 0;

  constructor(style: Style, start?: Begun) {
    this.style = style;
    this.model = start?.model ?? new Model(undefined, { opsets: new Map([["", style.opset]]) });
    this.inference = infer(this.model);
    this.emit = emitInto(this.model, { before: start?.before, onNode: this.inference.visit });
    this.ranges = new Map(start?.ranges);
    this.values.push(...this.model.graph.feeds, ...(start?.front ?? []));
    // A further reader of a value that the example reads itself can turn it into an example in which its rule must not apply.
    const unread = this.model.graph.outputs.filter(({ uses }) => uses.size === 0);
    if (start?.before === undefined) this.values.push(...unread);
  }

  /** Sets the choices of the next block. */
  begin(choices: Choices): void {
    this.#choices = choices;
    this.#next = 0;
    this.#count++;
  }

  get opset(): number {
    return this.model.opsets.get("") ?? 1;
  }

  /** Returns the next choice, from 0 to below `count`. */
  choose(count: number): number {
    return (this.#choices[this.#next++] ?? 0) % Math.max(1, count);
  }

  of<const T>(options: readonly T[]): T {
    return options[this.choose(options.length)] as T;
  }

  dims(value: Value): readonly Dim[] {
    return this.inference.operand(value)?.dims ?? [];
  }

  isFloat(value: Value): boolean {
    return this.inference.operand(value)?.type === "float32" && this.inference.operand(value)?.dims !== undefined;
  }

  /** Picks a float value whose dimensions satisfy `where`, most likely the newest. */
  pick(where: (dims: readonly Dim[]) => boolean = () => true): Value | undefined {
    const fitting = this.values.filter((value) => this.isFloat(value) && where(this.dims(value))).toReversed();
    return fitting[this.choose(fitting.length)];
  }

  /** Returns an existing value or a new input [batch, channels, height, width] with known channels. */
  image(): Value {
    const existing = this.pick((dims) => dims.length === 4 && typeof dims[1] === "number" && !dims.includes(0));
    if (existing !== undefined && this.choose(8) < 7) return existing;
    const side = this.of<Dim>([5, 8, 4, 1, symbol("side"), 6]);
    const channels = this.of([3, 1, 2, 4]);
    const dims = [this.batch(), channels, side, this.of([side, side, 5])];
    if (this.choose(4) < 3) return this.input("image", "float32", dims, { low: -1, high: 1 });
    // Camera images are bytes with the channels last.
    const [batch = 1, , height = 1, width = 1] = dims;
    const bytes = this.input("pixels", "uint8", [batch, height, width, channels], { low: 0, high: 256 });
    const floats = this.emit.Cast([bytes], { to: 1 });
    const turned = this.emit.Transpose([floats], { perm: [0, 3, 1, 2] });
    return this.add(this.emit.Div([turned, this.constant(float32([], [255]))]));
  }

  /** Returns an existing value or a new input [batch, length, channels] with known channels. */
  sequence(): Value {
    const existing = this.pick((dims) => dims.length === 3 && typeof dims[2] === "number" && !dims.includes(0));
    if (existing !== undefined && this.choose(8) < 7) return existing;
    const length = this.of<Dim>([3, symbol("length"), symbol("s 0"), 1]);
    return this.input("frames", "float32", [this.batch(), length, this.of([4, 6, 1, 8])], { low: -1, high: 1 });
  }

  /** Returns an existing value or a new input [batch, channels] with known channels. */
  row(): Value {
    const existing = this.pick((dims) => dims.length === 2 && typeof dims[1] === "number" && !dims.includes(0));
    if (existing !== undefined && this.choose(8) < 7) return existing;
    return this.input("x", "float32", [this.batch(), this.of([6, 4, 1, 12])], { low: -1, high: 1 });
  }

  /** Returns any float value with a last axis of known size. */
  features(): Value {
    const hasKnownWidth = (dims: readonly Dim[]): boolean => typeof dims.at(-1) === "number" && dims.at(-1) !== 0;
    return this.pick((dims) => dims.length >= 2 && hasKnownWidth(dims)) ?? this.row();
  }

  /** Returns any float value with at least `least` axes. */
  anything(least = 1): Value {
    return this.pick((dims) => dims.length >= least) ?? this.row();
  }

  batch(): Dim {
    return typeof this.style.batch === "number" ? this.style.batch : symbol(this.style.batch);
  }

  input(name: string, type: NumericType, dims: readonly Dim[], range: Range): Value {
    const { graph } = this.model;
    let free = name;
    for (let count = 2; graph.value(free) !== undefined; count++) free = `${name}${count}`;
    const value = graph.addInput(free, { type, dims });
    this.ranges.set(free, range);
    this.values.push(value);
    return value;
  }

  /** Adds a value that later blocks can read. */
  add(value: Value): Value {
    this.values.push(value);
    return value;
  }

  constant(dense: Dense): Value {
    return this.emit.constant(dense, this.style.names === "numbers" ? "onnx::Constant_1" : "constant");
  }

  ints(values: readonly number[]): Value {
    return this.constant(int64([values.length], values));
  }

  scalar(value: number): Value {
    return this.constant(float32([], [value]));
  }

  /** Returns an emitter that names the next node. */
  named(op: string): Emit {
    const { names } = this.style;
    return names === "numbers"
      ? this.emit
      : this.emit.named(names === "modules" ? `/block${this.#count}/${op}` : `${op} ü:${this.#count}`);
  }

  weightName(part: string): string {
    const { names } = this.style;
    if (names === "numbers") return `onnx::${part}_${100 + this.#stored.length}`;
    return names === "modules" ? `block${this.#count}.${part}` : `block ${this.#count}/ß ${part}:0`;
  }

  /** Returns a new weight, or an existing one of these dimensions. */
  weight(
    part: string,
    dims: readonly number[],
    fanIn = dims.slice(1).reduce((product, dim) => product * dim, 1),
  ): Value {
    const key = dims.join();
    const same = this.#stored.filter((other) => other.key === key);
    const share = this.choose(6);
    const again = share === 5 ? same.at(-1) : undefined;
    if (again !== undefined) return again.value;
    const name = this.weightName(part);
    const dense = weightOf(dims, this.choose(3) === 0 ? 0 : this.choose(kindsOfWeights), name, fanIn);
    const form = this.choose(4) < 3 ? 0 : this.choose(forms.length);
    const value = (forms[form] ?? forms[0])?.(this.emit, dense, name) as Value;
    this.#stored.push({ value, key });
    return value;
  }

  /** Returns a new weight as quantized values with a DequantizeLinear. */
  codes(part: string, dims: readonly number[], fanIn: number): Value {
    const name = this.weightName(part);
    const dense = weightOf(dims, this.choose(3) === 0 ? 0 : this.choose(kindsOfWeights), name, fanIn);
    const form = this.of(codesForms);
    const isNew = form.block !== undefined || form.type === "int4" || form.type === "uint4";
    const value = inCodes(this.emit, dense, name, isNew && this.opset < 21 ? {} : form);
    this.#stored.push({ value, key: dims.join() });
    return value;
  }

  /** Returns a new weight of another type. */
  typed(part: string, type: "float16" | "bfloat16" | "float64", dims: readonly number[], fanIn: number): Value {
    const name = this.weightName(part);
    const { data } = weightOf(dims, this.choose(3) === 0 ? 0 : this.choose(kindsOfWeights), name, fanIn);
    return this.emit.constant(fromNumbers(type, dims, data), name);
  }

  /** Stores the transposition of a stored matrix, with or without the role of a tied copy. Returns undefined if the matrix is not stored directly. */
  copied({ name, tensor }: Value): Value | undefined {
    const dense = tensor?.small;
    if (dense?.type !== "float32" || dense.dims.length !== 2) return undefined;
    const [rows = 0, columns = 0] = dense.dims;
    const turned = dense.data.map((_, at) => dense.data[(at % rows) * columns + Math.floor(at / rows)] ?? 0);
    const role = this.choose(2) === 0 ? undefined : ({ kind: "tied", name, transposed: true } as const);
    return this.emit.constant(float32([columns, rows], turned), this.weightName("copy"), role);
  }

  /** Returns a vector for a normalization with values near 1, some of them 0, tiny, large or negative. */
  spread(part: string, count: number, least: "any" | "positive" = "any"): Value {
    const name = this.weightName(part);
    const numbers = random(1, name);
    const odd = this.choose(5);
    const data = Array.from({ length: count }, (_, at) => {
      const usual = numbers.uniform(0.5, 1.5);
      if (odd === 0 || at % 2 === 1) return usual;
      const oddValue = [0, 1e-6, 50, least === "any" ? -usual : usual][odd - 1] ?? usual;
      return oddValue;
    });
    return this.emit.constant(float32([count], data), name);
  }

  /** Returns random inputs for a batch size. */
  feeds(batch: number, seed: number): Batch {
    return Object.fromEntries(
      this.model.graph.feeds.map(({ name, type }): [string, Dense] => {
        const dims = (type?.dims ?? []).map((dim) => (isSymbolic(dim) ? this.size(dim.text, batch) : dim));
        const numbers = random(seed, "feeds", name);
        const { low, high } = this.ranges.get(name) ?? { low: -1, high: 1 };
        const float = type?.type.startsWith("float") === true;
        const draw = (): number => (float ? numbers.uniform(low, high) : low + numbers.integer(high - low));
        const data = Array.from({ length: elementCount(dims) }, draw);
        return [name, fromNumbers((type?.type ?? "float32") as NumericType, dims, data)];
      }),
    );
  }

  /** Returns the size of a named dimension for a batch size. */
  size(name: string, batch: number): number {
    if (name === this.style.batch) return batch;
    return { side: 6, length: 4, "s 0": 3 }[name] ?? 2;
  }
}

/** Returns the size of an axis, which must be known. */
export function sizeAt(dims: readonly Dim[], axis: number): number {
  const dim = dims.at(axis);
  return typeof dim === "number" ? dim : 0;
}

export function allFixed(dims: readonly Dim[]): boolean {
  return fixedDims(dims) !== undefined;
}
