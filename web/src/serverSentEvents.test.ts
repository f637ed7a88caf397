import { expect, test } from "vitest";

import { EventReader } from "./serverSentEvents";

test("events are the same wherever the stream is cut", () => {
  const stream = ': 1/2\n\ndata: {"a": 1}\n\nevent: x\ndata: two\ndata: lines\r\n\r\ndata: [DONE]\n\n';
  for (let size = 1; size <= stream.length; size++) {
    const reader = new EventReader();
    const found: string[] = [];
    for (let at = 0; at < stream.length; at += size) found.push(...reader.take(stream.slice(at, at + size)));
    expect(found).toEqual(['{"a": 1}', "two\nlines", "[DONE]"]);
  }
});
