/** A node's attributes in a few words each: long lists and texts are cut, graphs and tensors told by their size. */
import type { Attribute } from "../../graph/graph.ts";
import { dimsText } from "../../tensor/dims.ts";

/** Written-out elements of an attribute, and characters of a text in it. */
const mostElements = 16;
const mostCharacters = 120;

export function attributeText(attribute: Attribute): string {
  switch (attribute.kind) {
    case "float":
    case "int":
      return String(attribute.value);
    case "string":
      return stringText(attribute.value);
    case "tensor":
      return `tensor ${attribute.value.type} ${dimsText(attribute.value.dims)}`;
    case "graph":
      return `graph of ${attribute.value.nodeCount} nodes`;
    case "floats":
    case "ints":
      return listText(attribute.value.map(String));
    case "strings":
      return listText(attribute.value.map(stringText));
    case "tensors":
      return `${attribute.value.length} tensors`;
    case "graphs":
      return `${attribute.value.length} graphs`;
    case "opaque":
      return `${attribute.value.length} bytes`;
  }
}

function stringText(value: string | Uint8Array): string {
  if (typeof value !== "string") return `${value.length} bytes`;
  return value.length > mostCharacters ? `${value.slice(0, mostCharacters)}…` : value;
}

function listText(elements: readonly string[]): string {
  const more = elements.length > mostElements ? `, … ${elements.length} in all` : "";
  return `[${elements.slice(0, mostElements).join(", ")}${more}]`;
}
