/**
 * Random valid models that no exporter writes: every field of onnx.proto, set or not at random; all element types, raw, typed and as text;
 * nodes of unknown operators. As plain data for `fromPlain`.
 */

import { typedField } from "../../../src/core/onnx/tensor.ts";
import { type Random, random } from "../../../src/core/tensor/random.ts";
import { bitsOf, type DataType, typeCodes } from "../../../src/core/tensor/types.ts";

type Message = Record<string, unknown>;

const names = Object.keys(typeCodes) as DataType[];

export function randomModel(seed: number): Message {
  return new Maker(random(seed, "models")).model();
}

class Maker {
  readonly #random: Random;
  #count = 0;

  constructor(numbers: Random) {
    this.#random = numbers;
  }

  model(): Message {
    const metadata = this.#metadata();
    return {
      ir_version: String(3 + this.#to(11)),
      ...this.#some("producer_name", () => this.#text()),
      ...this.#some("producer_version", () => this.#text()),
      ...this.#some("domain", () => this.#text()),
      ...this.#some("model_version", () => this.#integer()),
      ...this.#some("doc_string", () => this.#text()),
      graph: this.#graph(0, []),
      opset_import: [
        { ...(this.#chance(0.5) ? { domain: "" } : {}), version: String(7 + this.#to(19)) },
        { domain: "com.example", version: "1" },
      ],
      ...metadata,
      ...this.#some("training_info", () => [
        { initialization: this.#graph(2, []), initialization_binding: [{ key: "a", value: "b" }], ...this.#future() },
      ]),
      ...this.#some("functions", () => [
        { name: "F", domain: "com.example", node: [this.#node(["a"], 2)], opset_import: [{ version: "9" }] },
      ]),
      ...this.#some("configuration", () => [{ name: "two", num_devices: 2, device: ["a", "b"] }]),
      ...this.#future(),
    };
  }

  #graph(depth: number, around: readonly string[]): Message {
    const visibleNames = [...around];
    const named = (list: readonly Message[]): void => {
      for (const { name } of list) if (typeof name === "string") visibleNames.push(name);
    };
    const initializers = this.#list(4, () => this.#tensor(this.#name()));
    named(initializers);
    const sparse = this.#list(0.3, () => this.#sparse(this.#name()));
    for (const { values } of sparse as { values: Message }[]) named([values]);
    const inputs = this.#list(3, () => this.#valueInfo(this.#name()));
    named(inputs);
    const listed = initializers
      .filter(() => this.#chance(0.2))
      .map(({ name, dims, data_type }) => {
        const shape = { dim: (dims as string[]).map((dim) => ({ dim_value: dim })) };
        return { name, type: { tensor_type: { elem_type: data_type, shape } }, ...this.#doc() };
      });
    const nodes: Message[] = [];
    const outputNames: string[] = [];
    for (const _ of this.#list(depth === 0 ? 8 : 2, () => 0)) {
      const node = this.#node(visibleNames, depth);
      nodes.push(node);
      for (const output of node.output as string[]) {
        if (output === "") continue;
        visibleNames.push(output);
        outputNames.push(output);
      }
    }
    const outputs = outputNames.filter(() => this.#chance(0.3));
    const typed = outputNames.filter((name) => !outputs.includes(name) && this.#chance(0.4));
    const stray = this.#list(0.5, () => this.#name());
    return {
      node: nodes,
      ...this.#some("name", () => this.#text()),
      initializer: initializers,
      ...this.#doc(),
      input: [...inputs, ...listed],
      output: outputs.map((name) => this.#valueInfo(name)),
      value_info: [...typed, ...stray].map((name) => ({ ...this.#valueInfo(name), type: this.#type(0) })),
      ...this.#some("quantization_annotation", () => [
        { tensor_name: "t", quant_parameter_tensor_names: [{ key: "SCALE_TENSOR", value: "s" }] },
      ]),
      sparse_initializer: sparse,
      ...this.#metadata(),
      ...this.#future(),
    };
  }

  #node(known: readonly string[], depth: number): Message {
    return {
      input: this.#list(2, () => (this.#chance(0.2) ? "" : (this.#pick(known) ?? ""))),
      output: this.#list(2, () => (this.#chance(0.1) ? "" : this.#name())),
      ...this.#some("name", () => this.#text()),
      op_type: `Op${this.#to(5)}`,
      attribute: this.#list(2, () => this.#attribute(known, depth)),
      ...this.#doc(),
      ...this.#some("domain", () => this.#pick(["", "ai.onnx", "com.example"])),
      ...this.#some("overload", () => this.#pick(["", "v2"])),
      ...this.#metadata(),
      ...this.#some("device_configurations", () => [
        { configuration_id: "two", sharding_spec: [{ tensor_name: "t", device: ["0", "1"] }], pipeline_stage: 1 },
      ]),
      ...this.#future(),
    };
  }

  #attribute(known: readonly string[], depth: number): Message {
    const rest = { name: this.#name(), ...this.#doc(), ...this.#future() };
    const kinds: readonly (() => Message)[] = [
      () => ({ f: this.#float(), type: 1 }),
      () => ({ i: this.#integer(), type: 2 }),
      () => ({ s: this.#bytes(this.#to(20)), type: 3 }),
      () => ({ t: this.#tensor(undefined), type: 4 }),
      () => ({ floats: this.#list(3, () => this.#float()), type: 6 }),
      () => ({ ints: this.#list(3, () => this.#integer()), type: 7 }),
      () => ({ strings: this.#list(2, () => this.#bytes(this.#to(10))), type: 8 }),
      () => ({ tensors: this.#list(2, () => this.#tensor(undefined)), type: 9 }),
      () => ({ sparse_tensor: this.#sparse(undefined), type: 11 }),
      () => ({ sparse_tensors: [this.#sparse(undefined)], type: 12 }),
      () => ({ tp: this.#type(0), type: 13 }),
      () => ({ type_protos: this.#list(2, () => this.#type(0)), type: 14 }),
      () => ({ ref_attr_name: "outer", type: 2 }),
      () => ({ g: this.#graph(depth + 1, known), type: 5 }),
      () => ({ graphs: this.#list(2, () => this.#graph(depth + 1, known)), type: 10 }),
    ];
    const kind = kinds[this.#to(depth >= 2 ? kinds.length - 2 : kinds.length)] ?? (() => ({}));
    return { ...rest, ...kind() };
  }

  #tensor(name: string | undefined): Message {
    const type = this.#pick(names) ?? "float32";
    const [code, field] = [typeCodes[type], typedField(type)];
    const dims = this.#list(2, () => this.#to(4));
    // Some tensors are large enough to stay in the file instead of in memory.
    if (dims.length > 0 && this.#chance(0.05)) dims[0] = 5000;
    const count = dims.reduce((product, dim) => product * dim, 1);
    const message: Message = {
      dims: dims.map(String),
      data_type: code,
      ...(name === undefined ? this.#some("name", () => this.#text()) : { name }),
      ...this.#doc(),
      ...this.#some("data_location", () => 0),
      ...this.#metadata(),
      ...this.#future(),
    };
    if (type === "string") message.string_data = Array.from({ length: count }, () => base64(this.#text()));
    else if (count > 0) {
      const bytes = Math.ceil((count * bitsOf[type]) / 8);
      if (this.#chance(0.6)) message.raw_data = this.#bytes(bytes);
      else {
        const slots = bitsOf[type] < 8 ? bytes : type.startsWith("complex") ? 2 * count : count;
        const [key, make] = this.#typed(field, Math.min(31, bitsOf[type]));
        message[key] = Array.from({ length: slots }, make);
      }
    }
    return message;
  }

  #typed(field: number, bits: number): readonly [string, () => unknown] {
    if (field === 4) return ["float_data", () => this.#float()];
    if (field === 10) return ["double_data", () => this.#random.normal()];
    if (field === 7) return ["int64_data", () => this.#integer()];
    if (field === 11) return ["uint64_data", () => String(this.#to(2 ** 31))];
    return ["int32_data", () => this.#to(2 ** Math.min(bits, 30))];
  }

  #sparse(name: string | undefined): Message {
    const count = this.#to(3);
    return {
      values: {
        dims: [String(count)],
        data_type: 1,
        ...(name === undefined ? {} : { name }),
        raw_data: this.#bytes(4 * count),
      },
      indices: { dims: [String(count)], data_type: 7, int64_data: Array.from({ length: count }, (_, index) => index) },
      dims: ["3", "5"],
      ...this.#future(),
    };
  }

  #valueInfo(name: string): Message {
    return {
      name,
      ...this.#some("type", () => this.#type(0), 0.8),
      ...this.#doc(),
      ...this.#metadata(),
      ...this.#future(),
    };
  }

  #type(depth: number): Message {
    const denotation = this.#some("denotation", () => this.#pick(["TENSOR", "IMAGE", ""]));
    const tensor = (): Message => ({
      elem_type: 1 + this.#to(26),
      ...this.#some("shape", () => ({ dim: this.#list(3, () => this.#dim()) }), 0.8),
    });
    const kinds: readonly (() => Message)[] = [
      () => ({ sequence_type: { elem_type: this.#type(depth + 1) } }),
      () => ({ map_type: { key_type: 7, value_type: this.#type(depth + 1) } }),
      () => ({ optional_type: { elem_type: this.#type(depth + 1) } }),
      () => ({ sparse_tensor_type: tensor() }),
      () => ({ opaque_type: { domain: "d", name: "n" } }),
    ];
    const kind = this.#chance(0.8) || depth > 2 ? undefined : kinds[this.#to(kinds.length)];
    return { ...(kind === undefined ? { tensor_type: { ...tensor(), ...this.#future() } } : kind()), ...denotation };
  }

  #dim(): Message {
    const kinds: readonly Message[] = [
      { dim_value: String(this.#to(100)) },
      { dim_value: "-1" },
      { dim_param: this.#pick(["N", "batch", "", "?", "2*n + 1", "height/2"]) },
      {},
    ];
    return { ...this.#pick(kinds), ...this.#some("denotation", () => "DATA_BATCH", 0.1) };
  }

  #metadata(): Message {
    return this.#some("metadata_props", () => this.#list(2, () => ({ key: this.#name(), value: this.#text() })));
  }

  #doc(): Message {
    return this.#some("doc_string", () => this.#text());
  }

  #future(): Message {
    return this.#some("future", () => this.#bytes(this.#to(5)), 0.1);
  }

  #some(key: string, make: () => unknown, chance = 0.3): Message {
    return this.#chance(chance) ? { [key]: make() } : {};
  }

  #list<T>(average: number, make: () => T): T[] {
    return Array.from({ length: Math.floor(this.#random.uniform() * (2 * average + 1)) }, make);
  }

  #pick<T>(list: readonly T[]): T | undefined {
    return list[this.#to(list.length)];
  }

  #chance(share: number): boolean {
    return this.#random.uniform() < share;
  }

  /** Returns a random integer from 0 to below - 1. */
  #to(below: number): number {
    return below === 0 ? 0 : this.#random.integer(below);
  }

  #name(): string {
    return `n${this.#count++}`;
  }

  #text(): string {
    return this.#pick(["", "a", "some text", "ü→", "x".repeat(60)]) ?? "";
  }

  #float(): number {
    return Math.fround(this.#random.normal());
  }

  #integer(): string {
    return this.#pick(["0", "1", "-1", "1000000", "9223372036854775807", "-9223372036854775808"]) ?? "0";
  }

  #bytes(length: number): string {
    return Buffer.from(Uint8Array.from({ length }, () => this.#to(256))).toString("base64");
  }
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}
