/** Reduces ONNX Runtime's messages to a sentence without source locations, signatures and conditions. */
import { stripPeriod } from "#graph";

/** The maximum length of a message in characters. */
const maxLength = 300;

/** Patterns of the text around a message and their replacements, applied in order. */
const messagePatterns: readonly (readonly [RegExp, string])[] = [
  [/^Non-zero status code returned while running (\S+) node\. Name:'' Status Message: /, "$1: "],
  [/^Non-zero status code returned while running (\S+) node\. Name:'([^']*)' Status Message: /, '$1 "$2": '],
  [/^(?:Fatal error|Type Error|This is an invalid model\.(?: Type Error:| Error:)?):? /, ""],
  [/\bIn Node, \(.*\) ?, Error (?=No Op registered)/, ""],
  [/\bNode \(\) Op \(([^)]*)\) /, "$1: "],
  [/\bNode \(([^)]*)\) Op \(([^)]*)\) /, '$2 "$1": '],
  [/\[\w+Error\] /g, ""],
  // /…/reshape_helper.h:91 onnxruntime::ReshapeHelper::ReshapeHelper(const TensorShape&, bool) size == wanted was false. <message>
  [
    /\S+\.(?:h|hpp|cc|cpp):\d+ (?:[\w:~<>*&,\s]*?\((?:[^()]|\([^()]*\))*\)(?: const)?(?: \[with [^\]]*\])?|\w+) (?:.{1,200}? was false\. (?=\S))?/g,
    "",
  ],
];

/** Returns a message reduced to its content, without a full stop. */
export function plainMessage(message: string): string {
  let text = message.replace(/\s+/g, " ").trim();
  for (const [pattern, replacement] of messagePatterns) text = text.replace(pattern, replacement);
  const [, opset, domain, newest] =
    /Opset (\d+) is under development.* support for domain (\S+) is till opset (\d+)/.exec(text) ?? [];
  if (opset !== undefined) text = `it knows operator sets up to ${newest} of ${domain}, and this one is ${opset}`;
  if (text.length > maxLength) text = text.slice(0, text.lastIndexOf(". ", maxLength) + 1 || maxLength);
  return stripPeriod(text.trim());
}

export interface UnknownOperator {
  /** "" is ai.onnx. */
  readonly domain: string;
  readonly op: string;
}

/** Returns the operator that an error message of the runtime names as unsupported. */
export function unknownOperator(text: string): UnknownOperator | undefined {
  const [, customDomain, name] = /([\w.-]+):([\w.-]+)\(-?\d+\) is not a registered function\/op/.exec(text) ?? [];
  if (customDomain !== undefined && name !== undefined) return { domain: customDomain, op: name };
  const [, op, domain] =
    /In Node, \("[^"]*", ([^,]+), "([^"]*)".*(?:No Op registered|No opset import) for/s.exec(text) ?? [];
  return op === undefined || domain === undefined ? undefined : { domain, op };
}

export function findUnknownOperator({ cause }: Error): UnknownOperator | undefined {
  return cause instanceof Error ? unknownOperator(cause.message) : undefined;
}
