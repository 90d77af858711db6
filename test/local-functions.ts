/** Models with functions of their own, which the text of models leaves out. */
import type { Model } from "../src/core/graph/model.ts";
import { parseModel } from "../src/core/graph/text.ts";
import { encodeToBytes } from "../src/core/onnx/encode.ts";
import { attributeFields, functionFields, nodeFields, opsetFields } from "../src/core/onnx/field-numbers.ts";
import { open } from "../src/core/onnx/index.ts";
import { Writer } from "../src/core/onnx/writer.ts";

export interface NodeText {
  readonly op: string;
  readonly domain?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** An attribute of the node that is an attribute of the call. */
  readonly refers?: readonly [name: string, to: string];
}

/** A FunctionProto of the domain "local". */
export function definition(
  name: string,
  inputs: readonly string[],
  outputs: readonly string[],
  nodes: readonly NodeText[],
  more: { readonly opset?: number; readonly defaults?: Readonly<Record<string, number>> } = {},
): Uint8Array {
  const writer = new Writer();
  writer.text(functionFields.name, name);
  for (const input of inputs) writer.text(functionFields.input, input);
  for (const output of outputs) writer.text(functionFields.output, output);
  for (const { op, domain = "", refers, ...ends } of nodes) {
    writer.message(functionFields.node, (node) => {
      for (const input of ends.inputs) node.text(nodeFields.input, input);
      for (const output of ends.outputs) node.text(nodeFields.output, output);
      node.text(nodeFields.op, op);
      node.text(nodeFields.name, `node_${ends.outputs.join()}`);
      if (domain !== "") node.text(nodeFields.domain, domain);
      if (refers === undefined) return;
      node.message(nodeFields.attribute, (attribute) => {
        attribute.text(attributeFields.name, refers[0]);
        attribute.text(attributeFields.reference, refers[1]);
        attribute.integer(attributeFields.type, 1);
      });
    });
  }
  for (const [domain, version] of [["", more.opset ?? 21] as const, ["local", 1] as const]) {
    writer.message(functionFields.opsetImport, (set) => {
      if (domain !== "") set.text(opsetFields.domain, domain);
      set.integer(opsetFields.version, version);
    });
  }
  for (const [key, value] of Object.entries(more.defaults ?? {})) {
    writer.message(functionFields.defaults, (attribute) => {
      attribute.text(attributeFields.name, key);
      attribute.float(attributeFields.float, value);
      attribute.integer(attributeFields.type, 1);
    });
  }
  writer.text(functionFields.domain, "local");
  return Buffer.concat(writer.finish().map((piece) => (piece instanceof Uint8Array ? piece : new Uint8Array())));
}

/** A model, of which the text gives the graph, with these functions. */
export async function withFunctions(text: string, functions: readonly Uint8Array[]): Promise<Model> {
  const model = parseModel(`opset 21, local 1\n${text}`);
  model.header.functions = functions;
  return open(await encodeToBytes(model));
}

/** Functions `f0` to `f<count - 1>` of one value, each of which calls the next twice; the last negates. */
export function doubling(count: number): readonly Uint8Array[] {
  return Array.from({ length: count }, (_, at) => {
    const call = (input: string, output: string): NodeText =>
      at === count - 1
        ? { op: "Neg", inputs: [input], outputs: [output] }
        : { op: `f${at + 1}`, domain: "local", inputs: [input], outputs: [output] };
    return definition(`f${at}`, ["v"], ["w"], [call("v", "t"), call("t", "w")]);
  });
}
