/** Scans text from left to right and locates errors. White space and comments (`#` or `//` to the end of the line) separate tokens. */
import { PithError } from "../errors.ts";

/** Names without quotes: `fc1.weight`, `/layer1/Conv_output_0`, `onnx::MatMul_12`, `batch-size`. */
const word = /(?:[A-Za-z_]|\/(?!\/))(?:[\w./]|::|-(?=[A-Za-z]))*/y;
const quoted = /"(?:[^"\\\n]|\\.)*"/y;
const number = /[+-]?(?:inf|nan|0x[\da-fA-F]+|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)(?![\w.])/y;
const gap = /(?:\s|#.*|\/\/.*)*/y;

export class Scanner {
  readonly text: string;
  position = 0;

  constructor(text: string) {
    this.text = text;
    this.skip();
  }

  get done(): boolean {
    return this.position >= this.text.length;
  }

  /** Consumes `token` if it comes next. A word must match completely. */
  take(token: string): boolean {
    if (!this.text.startsWith(token, this.position)) return false;
    if (/\w$/.test(token) && this.#at(word, this.position) !== token) return false;
    this.position += token.length;
    this.skip();
    return true;
  }

  expect(token: string): void {
    if (!this.take(token)) this.fail(`expected "${token}", got ${this.upcoming()}`);
  }

  peekWord(): string | undefined {
    return this.#at(word, this.position);
  }

  word(): string | undefined {
    return this.#take(word);
  }

  string(): string | undefined {
    const start = this.position;
    const token = this.#take(quoted);
    if (token === undefined) return undefined;
    try {
      return String(JSON.parse(token));
    } catch {
      return this.fail(`${token} is not a string as JSON writes it`, start);
    }
  }

  /** Returns the text of a number: `1` is an integer, `1.0`, `1e3`, `inf` and `nan` are not. */
  number(): string | undefined {
    return this.#take(number);
  }

  until(stops: string): string {
    const start = this.position;
    while (!this.done && !stops.includes(this.text.charAt(this.position))) this.position++;
    return this.text.slice(start, this.position).trim();
  }

  get lineBroken(): boolean {
    let before = this.position;
    while (before > 0 && /\s/.test(this.text.charAt(before - 1))) {
      before--;
      if (this.text.charAt(before) === "\n") return true;
    }
    return false;
  }

  skip(): void {
    this.position += this.#at(gap, this.position)?.length ?? 0;
  }

  fail(what: string, position = this.position): never {
    const before = this.text.slice(0, position).split("\n");
    throw new PithError("E_MODEL", `Line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}: ${what}.`);
  }

  /** Describes the next token for messages. */
  upcoming(): string {
    if (this.done) return "the end of the text";
    const token = this.#at(word, this.position) ?? this.#at(quoted, this.position) ?? this.#at(number, this.position);
    return `"${(token ?? this.text.charAt(this.position)).replace(/^"|"$/g, "")}"`;
  }

  #at(pattern: RegExp, position: number): string | undefined {
    pattern.lastIndex = position;
    return pattern.exec(this.text)?.[0];
  }

  #take(pattern: RegExp): string | undefined {
    const token = this.#at(pattern, this.position);
    if (token === undefined || token === "") return undefined;
    this.position += token.length;
    this.skip();
    return token;
  }
}

export function quoteName(name: string): string {
  word.lastIndex = 0;
  return name !== "_" && name !== "" && word.exec(name)?.[0] === name ? name : JSON.stringify(name);
}
