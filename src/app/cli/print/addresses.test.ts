import { expect, test } from "vitest";
import { createSecretRemover, publicAddress, publicWords } from "./addresses.ts";

test.each([
  ["redis://host", "redis://host"],
  ["redis://:se1ret@host", "redis://host"],
  ["rediss://user:se1ret@host:6380/2", "rediss://host:6380/2"],
  ["redis://:s@e1ret@host", "redis://host"],
  ["redis://:s%40e1ret@host", "redis://host"],
  ["redis://:s:e1ret@host", "redis://host"],
  ["redis://:s e\"1'ret@host", "redis://host"],
  ["redis://:se1ret@[::1]:6379", "redis://[::1]:6379"],
  ["redis://host?password=se1ret", "redis://host"],
  ["redis://host/0?password=s@e1ret", "redis://…"],
  ["redis://host#se1ret", "redis://host"],
  ["redis://:s/e1ret@host", "redis://…"],
  ["redis://:s#e1ret@host", "redis://…"],
  ["redis://:s?e1ret@host", "redis://…"],
  ["redis://:1/e1ret@host", "redis://…"],
  ["redis://user:1/se1ret@host", "redis://…"],
  ["redis://user/se1ret@host", "redis://…"],
  ["redis://:se1ret@", "redis://…"],
  ["redis+sentinel://:se1ret@one,two/master", "redis+sentinel://one,two/master"],
  ["http://user:se1ret@host:9000/path", "http://host:9000/path"],
  ["https://host/object?X-Amz-Signature=se1ret", "https://host/object"],
  ["s3://KEY:se1ret@bucket/prefix", "s3://bucket/prefix"],
  ["s3://bucket/prefix?secret=se1ret", "s3://bucket/prefix"],
  ["s3://bucket/prefix", "s3://bucket/prefix"],
  ["file:///home/a@b/model.onnx", "file:///home/a@b/model.onnx"],
  ["C:\\models\\a@b.onnx", "C:\\models\\a@b.onnx"],
])("shows %s as %s", (address, shown) => {
  expect(publicAddress(address)).toBe(shown);
});

test("replaces addresses among the words of a command line, and leaves all other words", () => {
  const words = ["compress", "a@b.onnx", "--queue", "redis://:se1ret@host", "--store=s3://K:se1ret@bucket/p", "x:y@z"];
  const shown = ["compress", "a@b.onnx", "--queue", "redis://host", "--store=s3://bucket/p", "x:y@z"];
  expect(publicWords(words)).toEqual(shown);
});

test("removes the secrets of a command line from any text", () => {
  const hide = createSecretRemover(["worker", "redis://:s/e1ret@host", "--store=s3://K:t0ken@bucket/p"]);
  expect(hide('"redis://:s/e1ret@host" does not exist. It was looked for as /home/redis:/:s/e1ret@host.')).toBe(
    '"redis://…" does not exist. It was looked for as /home/redis:/host.',
  );
  expect(hide("unknown option --store=s3://K:t0ken@bucket/p")).toBe("unknown option --store=s3://bucket/p");
  expect(hide("a worker@home")).toBe("a worker@home");
});

test("reads a word of a million letters in one pass", () => {
  const long = "a".repeat(1e6);
  expect(publicWords([long, `${long}redis://:se1ret@host`])).toEqual([long, `${long}redis://host`]);
});
