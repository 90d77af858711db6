import { PithError } from "../errors.ts";
import { defaultDomain } from "../graph/elements.ts";
import type { Graph } from "../graph/graph.ts";
import { readAttribute } from "./attribute.ts";
import { type Field, fieldText, isLoaded, joinCarried } from "./fields.ts";
import type { LazyFile } from "./lazy.ts";
import { readMetadata } from "./metadata.ts";
import type { Reading } from "./reading.ts";
import { nodeFields } from "./schema.ts";

/** The fields of a NodeProto. Inputs and outputs are names. */
export interface ReadNode {
  readonly op: string;
  readonly domain: string;
  readonly overload: string;
  readonly name: string;
  readonly inputs: readonly (string | undefined)[];
  readonly outputs: readonly (string | undefined)[];
  readonly attributes: readonly Field[];
  readonly metadata: readonly Field[];
  readonly doc: string | undefined;
  readonly unknown: Uint8Array | undefined;
  /** The node's offset in the file, for messages. */
  readonly from: number;
}

const nodeTexts = ["op", "name", "domain", "overload"] as const;

export async function readNode(file: LazyFile, message: Field): Promise<ReadNode> {
  const texts = { op: "", domain: "", overload: "", name: "" };
  const inputs: (string | undefined)[] = [];
  const outputs: (string | undefined)[] = [];
  const attributes: Field[] = [];
  const metadata: Field[] = [];
  const unknown: Field[] = [];
  let doc: string | undefined;
  for (const field of await file.fieldsInside(message)) {
    if (field.number === nodeFields.attribute) {
      attributes.push(field);
      continue;
    }
    // Avoids `await` for fields in memory, because it costs more than reading the field.
    const loaded = isLoaded(field) ? field : await file.loaded(field);
    switch (field.number) {
      case nodeFields.input:
        inputs.push(fieldText(loaded) || undefined);
        break;
      case nodeFields.output:
        outputs.push(fieldText(loaded) || undefined);
        break;
      case nodeFields.doc:
        doc = fieldText(loaded);
        break;
      case nodeFields.metadata:
        metadata.push(loaded);
        break;
      default: {
        const text = nodeTexts.find((name) => nodeFields[name] === field.number);
        if (text !== undefined) texts[text] = text === "domain" ? defaultDomain(fieldText(loaded)) : fieldText(loaded);
        // Explicitly written defaults, such as the default domain, are carried as unknown fields.
        if (text === undefined || texts[text] === "") unknown.push(loaded);
      }
    }
  }
  file.count(1 + outputs.length + attributes.length + metadata.length);
  if (texts.op === "") {
    throw new PithError("E_MODEL", `the node "${texts.name}" at byte ${message.from} has no operator type.`);
  }
  return { ...texts, inputs, outputs, attributes, metadata, doc, unknown: joinCarried(unknown), from: message.from };
}

/** Adds a node with attributes and subgraphs to a graph. All values that the node uses must exist. */
export async function addNode(reading: Reading, parsedNode: ReadNode, graph: Graph, depth: number): Promise<void> {
  const place = `${parsedNode.op} "${parsedNode.name || (parsedNode.outputs.find((name) => name !== undefined) ?? "")}"`;
  const inputs = parsedNode.inputs.map((name) => {
    if (name === undefined) return undefined;
    const value = graph.value(name);
    if (value === undefined) throw new PithError("E_MODEL", `${place}: nothing produces its input "${name}".`);
    return value;
  });
  const { op, domain, overload, name, outputs } = parsedNode;
  const node = graph.addNode({ op, domain, overload, name, inputs, outputs });
  node.doc = parsedNode.doc;
  node.unknown = parsedNode.unknown;
  [node.metadata] = readMetadata(parsedNode.metadata);
  for (const field of parsedNode.attributes) {
    const [key, attribute] = await readAttribute(reading, field, node, depth, place);
    if (node.attributes.has(key)) throw new PithError("E_MODEL", `${place}: its attribute "${key}" is given twice.`);
    graph.setAttribute(node, key, attribute);
  }
}
