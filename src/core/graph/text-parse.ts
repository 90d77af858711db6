import { type Dim, fixedDims, symbol } from "../tensor/dims.ts";
import type { Tensor } from "../tensor/types.ts";
import { Graph, type ValueType } from "./graph.ts";
import { Model } from "./model.ts";
import { parseRole, type Role, straightThrough } from "./role.ts";
import {
  type AttributeSyntax,
  buildGraph,
  type Declaration,
  type GraphSyntax,
  type Name,
  type NodeSyntax,
} from "./text-build.ts";
import { Scanner } from "./text-scan.ts";
import { isDataType, parseNumber, parseTensor } from "./text-tensor.ts";

/** Parses a model from its text form (`text.ts`). @throws PithError E_MODEL with line and column of a syntax error. */
export function parseModel(text: string): Model {
  const scanner = new Scanner(text);
  const irVersion = scanner.accept("ir") ? parseInteger(scanner) : undefined;
  if (irVersion !== undefined) scanner.accept(",");
  const opsets = scanner.accept("opset") ? parseOpsets(scanner) : undefined;
  const syntax = parseGraph(scanner);
  if (!scanner.isDone) scanner.fail(`expected the end of the text, got ${scanner.quoteNext()}`);
  const graph = new Graph();
  buildGraph(scanner, syntax, graph);
  return new Model(graph, {
    ...(irVersion === undefined ? {} : { irVersion }),
    ...(opsets === undefined ? {} : { opsets }),
  });
}

function parseOpsets(scanner: Scanner): Map<string, number> {
  const opsets = new Map<string, number>();
  do {
    const domain = scanner.readWord() ?? scanner.readString() ?? "";
    opsets.set(domain, parseInteger(scanner));
  } while (scanner.accept(","));
  return opsets;
}

function parseInteger(scanner: Scanner): number {
  const start = scanner.position;
  const value = Number(scanner.readNumber() ?? "x");
  return Number.isSafeInteger(value) ? value : scanner.fail("expected an integer", start);
}

function parseGraph(scanner: Scanner): GraphSyntax {
  scanner.expect("graph");
  const name = parseOptionalName(scanner)?.name ?? "";
  const inputs = parseList(scanner, "(", ")", () => parseDeclaration(scanner, true));
  scanner.expect("->");
  const outputs = parseList(scanner, "(", ")", () => parseDeclaration(scanner, false));
  const stored: Declaration[] = [];
  const nodes: NodeSyntax[] = [];
  scanner.expect("{");
  while (!scanner.accept("}")) {
    const statement = parseStatement(scanner);
    if ("kind" in statement) nodes.push(statement);
    else stored.push(statement);
    scanner.accept(";");
  }
  return { name, inputs, outputs, stored, nodes };
}

function parseStatement(scanner: Scanner): NodeSyntax | Declaration {
  const outputs: (Declaration | undefined)[] = [];
  if (scanner.accept("(")) scanner.expect(")");
  else {
    do outputs.push(acceptBlank(scanner) ? undefined : parseDeclaration(scanner, false));
    while (scanner.accept(","));
  }
  const [first] = outputs;
  const isSingleTyped = outputs.length === 1 && first !== undefined && first.type !== undefined;
  if (isSingleTyped && !scanner.accept("=")) return first;
  if (!isSingleTyped) scanner.expect("=");
  if (isSingleTyped && startsTensor(scanner)) return { ...first, tensor: parseStoredTensor(scanner, first.type) };
  return { kind: "node", outputs, ...parseCall(scanner) };
}

function startsTensor(scanner: Scanner): boolean {
  const next = scanner.peekWord();
  if (next !== undefined && !/^(zeros|ones|random|true|false|inf|nan)$/.test(next)) return false;
  // A string before a node name or inputs is a quoted operator.
  const rest = scanner.text.startsWith('"', scanner.position) ? scanner.text.slice(scanner.position) : "";
  return !/^"(?:[^"\\\n]|\\.)*"\s*[("]/.test(rest);
}

function parseCall(scanner: Scanner): Omit<NodeSyntax, "kind" | "outputs"> {
  const path =
    scanner.readWord() ?? scanner.readString() ?? scanner.fail(`expected an operator, got ${scanner.quoteNext()}`);
  const [operator = "", overload = ""] = path.split("::");
  const dot = operator.lastIndexOf(".");
  const name = scanner.readString() ?? "";
  const inputs = parseList(scanner, "(", ")", () => (acceptBlank(scanner) ? undefined : parseRequiredName(scanner)));
  const attributes = scanner.text.startsWith("{", scanner.position)
    ? parseList(scanner, "{", "}", () => {
        const attribute = parseRequiredName(scanner).name;
        scanner.expect("=");
        return [attribute, parseAttribute(scanner)] as const;
      })
    : [];
  return {
    domain: operator.slice(0, Math.max(0, dot)),
    op: operator.slice(dot + 1),
    overload,
    name,
    inputs,
    attributes,
  };
}

function parseDeclaration(scanner: Scanner, withTensor: boolean): Declaration {
  const name = parseRequiredName(scanner);
  const hasColon = scanner.accept(":");
  const type = hasColon ? parseType(scanner) : undefined;
  const role = hasColon && (type === undefined || !scanner.followsLineBreak) ? parseRoleWord(scanner) : undefined;
  if (hasColon && type === undefined && role === undefined)
    scanner.fail(`expected a type or a role, got ${scanner.quoteNext()}`);
  const tensor = withTensor && scanner.accept("=") ? parseStoredTensor(scanner, type) : undefined;
  return { ...name, type, role, tensor };
}

function parseStoredTensor(scanner: Scanner, type: ValueType | undefined): Tensor {
  const dims = fixedDims(type?.dims);
  if (type === undefined || dims === undefined)
    return scanner.fail("a stored tensor needs a type with fixed dimensions");
  return parseTensor(scanner, type.type, dims);
}

function parseType(scanner: Scanner): ValueType | undefined {
  const type = scanner.peekWord();
  if (type === undefined || !isDataType(type)) return undefined;
  scanner.readWord();
  scanner.expect("[");
  if (scanner.accept("...")) {
    scanner.expect("]");
    return { type, dims: undefined };
  }
  const dims: Dim[] = [];
  while (!scanner.accept("]")) {
    dims.push(parseDim(scanner));
    if (!scanner.accept(",")) {
      scanner.expect("]");
      break;
    }
  }
  return { type, dims };
}

function parseDim(scanner: Scanner): Dim {
  const quotedName = scanner.readString();
  if (quotedName !== undefined) return symbol(quotedName);
  const start = scanner.position;
  const text = scanner.readUntil(",]\n");
  scanner.skipGap();
  if (/^\d+$/.test(text)) return Number(text);
  if (!/^[\w-]/.test(text)) scanner.fail("expected a dimension: a number or a name", start);
  return symbol(text);
}

function parseRoleWord(scanner: Scanner): Role | undefined {
  const next = scanner.peekWord();
  if (next === undefined) return undefined;
  if (next === "straight-through") return parseStraightThrough(scanner);
  if (next !== "tied") {
    const role = parseRole(next);
    if (role !== undefined) scanner.readWord();
    return role;
  }
  scanner.readWord();
  scanner.expect("(");
  const { name } = parseRequiredName(scanner);
  const transposed = scanner.accept(",");
  if (transposed) scanner.expect("transposed");
  scanner.expect(")");
  return { kind: "tied", name, transposed };
}

function parseStraightThrough(scanner: Scanner): Role {
  scanner.readWord();
  const start = scanner.position;
  if (!scanner.accept("(")) return straightThrough;
  const settings = scanner.readUntil(")\n");
  scanner.expect(")");
  return (
    parseRole(`straight-through(${settings})`) ??
    scanner.fail(`"${settings}" is not a surrogate gradient: low, high and slope must be finite numbers`, start)
  );
}

function parseAttribute(scanner: Scanner): AttributeSyntax {
  const kind = /^(floats|strings|tensors|graphs)$/.exec(scanner.peekWord() ?? "")?.[1];
  if (kind === "floats" || kind === "strings" || kind === "tensors" || kind === "graphs") {
    scanner.readWord();
    scanner.expect("[");
    scanner.expect("]");
    return { kind, value: [] };
  }
  if (!scanner.text.startsWith("[", scanner.position)) return parseSingle(scanner);
  const start = scanner.position;
  const items = parseList(scanner, "[", "]", () => parseSingle(scanner));
  if (items.every((item) => item.kind === "int")) return { kind: "ints", value: items.map((item) => item.value) };
  if (items.every((item) => item.kind === "float")) return { kind: "floats", value: items.map((item) => item.value) };
  if (items.every((item) => item.kind === "string")) return { kind: "strings", value: items.map((item) => item.value) };
  if (items.every((item) => item.kind === "tensor")) return { kind: "tensors", value: items.map((item) => item.value) };
  if (items.every((item) => item.kind === "graph")) return { kind: "graphs", value: items.map((item) => item.value) };
  return scanner.fail("the elements of a list have one type; floats are written with a point (1.0)", start);
}

function parseSingle(scanner: Scanner): AttributeSyntax {
  const text = scanner.readString();
  if (text !== undefined) return { kind: "string", value: text };
  const token = scanner.readNumber();
  if (token !== undefined) return parseNumeric(token);
  const next = scanner.peekWord();
  if (next === "graph") return { kind: "graph", value: parseGraph(scanner) };
  if (next === "bytes" || next === "opaque") {
    scanner.readWord();
    const value = parseBytes(scanner);
    return next === "bytes" ? { kind: "string", value } : { kind: "opaque", value };
  }
  const type = parseType(scanner);
  if (type === undefined) return scanner.fail(`expected the value of an attribute, got ${scanner.quoteNext()}`);
  return { kind: "tensor", value: parseStoredTensor(scanner, type) };
}

function parseNumeric(token: string): AttributeSyntax {
  if (/^[+-]?\d+$/.test(token)) {
    const value = Number(token);
    return { kind: "int", value: Number.isSafeInteger(value) ? value : BigInt(token) };
  }
  // Rounds to float32, because ONNX files store attributes in this type.
  return { kind: "float", value: Math.fround(parseNumber(token)) };
}

function parseBytes(scanner: Scanner): Uint8Array {
  const start = scanner.position;
  const digits = scanner.readString() ?? "x";
  if (!/^([\da-f]{2})*$/.test(digits)) scanner.fail("expected bytes as hexadecimal digits in quotes", start);
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function parseList<T>(scanner: Scanner, open: string, close: string, item: () => T): T[] {
  const items: T[] = [];
  scanner.expect(open);
  while (!scanner.accept(close)) {
    items.push(item());
    if (!scanner.accept(",")) {
      scanner.expect(close);
      break;
    }
  }
  return items;
}

function acceptBlank(scanner: Scanner): boolean {
  return scanner.accept("_");
}

function parseOptionalName(scanner: Scanner): Name | undefined {
  const position = scanner.position;
  const name = scanner.readWord() ?? scanner.readString();
  return name === undefined ? undefined : { name, position };
}

function parseRequiredName(scanner: Scanner): Name {
  return parseOptionalName(scanner) ?? scanner.fail(`expected a name, got ${scanner.quoteNext()}`);
}
