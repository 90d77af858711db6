/**
 * Models as text, for messages and for hand-written tests.
 *      opset 21, com.microsoft 1
 *      graph (x: float32[batch, 784]) -> (y: float32[batch, 10]) {
 *        fc1.weight: float32[128, 784] parameter = random(seed 1)   # a stored tensor; fills: see text-tensor.ts
 *        axes: int64[2] = [0, -1]
 *        h: float32[batch, 128] = Gemm "fc1" (x, fc1.weight) {transB=1, alpha=0.5}   # the node's name is optional, and so is the type
 *        a, _, spread = LayerNormalization(h, scale)                   # `_`: an absent output or input
 *        g = com.microsoft.FusedMatMul(a, a)
 *        y = If(flag) {then_branch=graph () -> (z) { z = Relu(g) }, else_branch=graph () -> (w) { w = Neg(g) }}
 *      }
 * - The syntax of an attribute shows its kind: `1` is an int, `1.0` a float, `"a"` a string, `[1, 2]` ints, `int64[1] [3]` a tensor. `[]` is an empty
 *   list of ints; other empty lists name their kind: `floats []`. Binary data: `bytes "00ff"`, `opaque "0a03"`.
 * - Types: `float32[batch, 2*seq + 1]`; `float32[]` is a scalar; `float32[...]` has an unknown rank.
 * - Roles follow the type: `parameter`, `mask`, `tied(embedding.weight, transposed)`.
 * - Names with other characters than `fc1.weight` or `/layer1/Conv` are quoted. The contents of an input that is also a weight follow its type.
 * The text omits metadata, documentation strings, local functions and unknown fields.
 */
import { unsupportedError } from "../errors.ts";
import { hexadecimal } from "../tensor/dense.ts";
import { type Dim, dimText, isSymbolic } from "../tensor/dims.ts";
import type { Tensor } from "../tensor/types.ts";
import { allTensors, type Graph, type Node, operatorName, type Value, type ValueType } from "./graph.ts";
import type { Attribute } from "./graph-elements.ts";
import type { Model } from "./model.ts";
import { roleText as plainRoleText, type Role } from "./role.ts";
import { quoteName } from "./text-scan.ts";
import { elementsText, fillTextOf, float32Text } from "./text-tensor.ts";

export { parseModel } from "./text-parse.ts";

export type TensorWriter = (tensor: Tensor) => string;

/**
 * Formats a model as text that `parseModel` reads. `abbreviate` omits the elements of larger tensors; such a text cannot be parsed.
 * @throws PithError E_UNSUPPORTED without `abbreviate` if a large tensor has no fill. Use `printWholeModel` then.
 */
export function printModel(model: Model, options: { readonly abbreviate?: boolean } = {}): string {
  return writeModel(model, options.abbreviate ? abbreviatedContents : completeContents);
}

/** Formats a model with the elements or fills of its tensors. */
export async function printWholeModel(model: Model): Promise<string> {
  const contents = new Map<Tensor, string>();
  for (const tensor of allTensors(model.graph)) {
    if (!contents.has(tensor)) contents.set(tensor, fillTextOf(tensor) ?? elementsText(await tensor.read()));
  }
  return writeModel(model, (tensor) => contents.get(tensor) ?? completeContents(tensor));
}

/** Formats a node as one line such as `h = Gemm "fc1" (x, fc1.weight) {transB=1}`. */
export function printNode(node: Node): string {
  return new Printer(abbreviatedContents, true).node(node, "");
}

/** Formats a model. `tensors` formats the contents of tensors. `inferred: false` omits inferred types. */
export function writeModel(
  model: Model,
  tensors: TensorWriter,
  { inferred = true }: { readonly inferred?: boolean } = {},
): string {
  const opsets = [...model.opsets].map(([domain, version]) =>
    domain === "" ? `${version}` : `${quoteName(domain)} ${version}`,
  );
  const ir = model.header.irVersion === 10 ? "" : `ir ${model.header.irVersion}, `;
  return `${ir}opset ${opsets.join(", ")}\n${new Printer(tensors, inferred).graph(model.graph, "")}\n`;
}

function completeContents(tensor: Tensor): string {
  const fillText = fillTextOf(tensor);
  if (fillText !== undefined) return fillText;
  if (tensor.small === undefined) {
    throw unsupportedError(`A tensor of ${tensor.bytes} bytes is too large to be printed without a fill.`, {
      hint: "Use `await printWholeModel(model)`, or `printModel(model, { abbreviate: true })`.",
    });
  }
  return elementsText(tensor.small);
}

/** Abbreviated text replaces longer contents by a fingerprint or `…`. */
const maxContentsLength = 60;

function abbreviatedContents(tensor: Tensor): string {
  const fillText = fillTextOf(tensor);
  if (fillText !== undefined) return fillText;
  if (tensor.small === undefined) return "…";
  const text = elementsText(tensor.small);
  return text.length <= maxContentsLength ? text : `…(${fingerprint(text)})`;
}

function fingerprint(text: string): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}

class Printer {
  readonly #tensors: TensorWriter;
  readonly #showsInferred: boolean;
  /** Values that have been written. Type and role are written at a value's first occurrence. */
  readonly #declared = new Set<Value>();

  constructor(tensors: TensorWriter, showsInferred: boolean) {
    this.#tensors = tensors;
    this.#showsInferred = showsInferred;
  }

  graph(graph: Graph, indent: string): string {
    const inner = `${indent}  `;
    const inputs = graph.inputs.map((value) => this.#declaration(value)).join(", ");
    const outputs = graph.outputs.map((value) => this.#output(value, graph)).join(", ");
    const lines: string[] = [];
    for (const value of graph.values()) {
      const isStandalone = value.producer === undefined && !graph.isInput(value);
      if (isStandalone || (value.producer !== undefined && value.tensor !== undefined))
        lines.push(this.#declaration(value));
    }
    for (const node of graph.nodes()) lines.push(this.node(node, inner));
    const name = graph.name === "" ? "" : ` ${quoteName(graph.name)}`;
    const body = lines.map((line) => `${inner}${line}\n`).join("");
    return `graph${name} (${inputs}) -> (${outputs}) {\n${body}${indent}}`;
  }

  node(node: Node, indent: string): string {
    const outputs = node.outputs.map((value) => (value === undefined ? "_" : this.#declaration(value))).join(", ");
    const inputs = node.inputs.map((value) => (value === undefined ? "_" : quoteName(value.name))).join(", ");
    const name = node.name === "" ? "" : ` ${JSON.stringify(node.name)} `;
    const attributes = [...node.attributes].map(
      ([key, value]) => `${quoteName(key)}=${this.#attribute(value, indent)}`,
    );
    const settings = attributes.length === 0 ? "" : ` {${attributes.join(", ")}}`;
    const operator = quoteName(`${operatorName(node)}${node.overload === "" ? "" : `::${node.overload}`}`);
    return `${outputs === "" ? "()" : outputs} = ${operator}${name}(${inputs})${settings}`;
  }

  /** Produced values include the type; others are declared elsewhere. */
  #output(value: Value, graph: Graph): string {
    return value.graph === graph && value.producer !== undefined ? this.#declaration(value) : quoteName(value.name);
  }

  #declaration(value: Value): string {
    const name = quoteName(value.name);
    if (this.#declared.has(value)) return name;
    this.#declared.add(value);
    const isListed = value.producer === undefined || value.declared || value.graph.isOutput(value);
    const type = (this.#showsInferred ? value.type : isListed ? value.stated : undefined) ?? value.tensor;
    const words = [type === undefined ? "" : typeText(type), value.role === undefined ? "" : roleText(value.role)];
    const description = words.filter((word) => word !== "").join(" ");
    const contents = value.tensor === undefined ? "" : ` = ${this.#tensors(value.tensor)}`;
    return `${name}${description === "" ? "" : `: ${description}`}${contents}`;
  }

  #attribute(attribute: Attribute, indent: string): string {
    switch (attribute.kind) {
      case "float":
        return floatText(attribute.value);
      case "int":
        return String(attribute.value);
      case "string":
        return stringText(attribute.value);
      case "tensor":
        return this.#tensor(attribute.value);
      case "graph":
        return this.graph(attribute.value, indent);
      case "ints":
        return `[${attribute.value.join(", ")}]`;
      case "floats":
        return listText("floats", attribute.value.map(floatText));
      case "strings":
        return listText("strings", attribute.value.map(stringText));
      case "tensors":
        return listText(
          "tensors",
          attribute.value.map((tensor) => this.#tensor(tensor)),
        );
      case "graphs":
        return listText(
          "graphs",
          attribute.value.map((graph) => this.graph(graph, indent)),
        );
      case "opaque":
        return `opaque "${hexadecimal(attribute.value)}"`;
    }
  }

  #tensor(tensor: Tensor): string {
    return `${typeText(tensor)} ${this.#tensors(tensor)}`;
  }
}

function typeText(type: ValueType): string {
  return `${type.type}[${type.dims === undefined ? "..." : type.dims.map(dimensionText).join(", ")}]`;
}

function dimensionText(dim: Dim): string {
  const text = dimText(dim);
  return !isSymbolic(dim) || /^[A-Za-z_-][\w.*+()/ -]*$|^\d+\*[\w.*+()/ -]*$/.test(text) ? text : JSON.stringify(text);
}

function roleText(role: Role): string {
  if (role.kind !== "tied") return plainRoleText(role);
  return `tied(${quoteName(role.name)}${role.transposed ? ", transposed" : ""})`;
}

function floatText(value: number): string {
  const text = float32Text(value);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

function stringText(value: string | Uint8Array): string {
  return typeof value === "string" ? JSON.stringify(value) : `bytes "${hexadecimal(value)}"`;
}

function listText(kind: string, items: readonly string[]): string {
  return items.length === 0 ? `${kind} []` : `[${items.join(", ")}]`;
}
