/**
 * The WHATWG algorithm ("Parsing an event stream" and "Interpreting an event
 * stream" in the HTML standard), implemented literally, as the reference for
 * tests of the decoder. It is slow and simple on purpose, and shares no code with
 * `src/`. Quoted comments are sentences of the standard.
 */

/** The result of interpreting all bytes of a stream. */
export interface Interpretation {
  events: {
    event: string;
    data: string;
    id: string;
    retry: number | undefined;
  }[];
  lastEventId: string;
  reconnectionTime: number | undefined;
  comments: string[];
}

/**
 * Interprets a stream. If it spans several connections, pass an array with the
 * bytes of each.
 */
export function interpret(
  stream: Uint8Array<ArrayBuffer> | Uint8Array<ArrayBuffer>[],
  initialLastEventId = "",
): Interpretation {
  const events: Interpretation["events"] = [];
  const comments: string[] = [];
  let lastEventId = initialLastEventId;
  let reconnectionTime: number | undefined;

  // "When a stream is parsed, a data buffer, an event type buffer, and a last
  // event ID buffer must be associated with it."
  let dataBuffer: string;
  let eventTypeBuffer: string;
  let lastEventIdBuffer: string;

  // Not in the standard: the reconnection time if it was set since the last event.
  let newRetry: number | undefined;

  for (const bytes of Array.isArray(stream) ? stream : [stream]) {
    // "They must be initialized to the empty string." As in browsers, the last
    // event ID buffer starts with the last event ID instead: a new connection
    // keeps it.
    dataBuffer = "";
    eventTypeBuffer = "";
    lastEventIdBuffer = lastEventId;

    // "Streams must be decoded using the UTF-8 decode algorithm", which "strips
    // one leading UTF-8 Byte Order Mark (BOM), if any".
    const text = new TextDecoder("utf-8").decode(bytes);

    // "Lines must be processed, in the order they are received, as follows:"
    for (const line of splitLines(text)) processLine(line);
  }

  // "Once the end of the file is reached, any pending data must be discarded.
  // (If the file ends in the middle of an event, before the final empty line,
  // the incomplete event is not dispatched.)"
  return { events, lastEventId, reconnectionTime, comments };

  function processLine(line: string): void {
    if (line === "") {
      // "If the line is empty (a blank line): Dispatch the event."
      dispatch();
    } else if (line.startsWith(":")) {
      // "If the line starts with a U+003A COLON character (:): Ignore the line."
      // As from a value, one leading space is removed from the comment's text.
      comments.push(withoutLeadingSpace(line.slice(1)));
    } else if (line.includes(":")) {
      // "Collect the characters on the line before the first U+003A COLON
      // character (:), and let field be that string."
      const field = line.slice(0, line.indexOf(":"));
      // "Collect the characters on the line after the first U+003A COLON
      // character (:), and let value be that string. If value starts with a
      // U+0020 SPACE character, remove it from value."
      const value = withoutLeadingSpace(line.slice(line.indexOf(":") + 1));
      // "Process the field".
      processField(field, value);
    } else {
      // "Otherwise, the string is not empty but does not contain a U+003A COLON
      // character (:): Process the field using the whole line as the field name,
      // and the empty string as the field value."
      processField(line, "");
    }
  }

  function processField(field: string, value: string): void {
    if (field === "event") {
      // "Set the event type buffer to the field value."
      eventTypeBuffer = value;
    } else if (field === "data") {
      // "Append the field value to the data buffer, then append a single U+000A
      // LINE FEED (LF) character to the data buffer."
      dataBuffer = dataBuffer + value + "\n";
    } else if (field === "id") {
      // "If the field value does not contain U+0000 NULL, then set the last
      // event ID buffer to the field value. Otherwise, ignore the field."
      if (!value.includes("\0")) lastEventIdBuffer = value;
    } else if (field === "retry") {
      // "If the field value consists of only ASCII digits, then interpret the
      // field value as an integer in base ten, and set the event stream's
      // reconnection time to that integer. Otherwise, ignore the field." An
      // empty value is not an integer. A value above the largest safe integer
      // becomes that integer.
      if (/^[0-9]+$/.test(value)) {
        reconnectionTime = Math.min(Number(value), Number.MAX_SAFE_INTEGER);
        newRetry = reconnectionTime;
      }
    } else {
      // "Otherwise: The field is ignored."
    }
  }

  function dispatch(): void {
    // "1. Set the last event ID string of the event source to the value of the
    // last event ID buffer. The buffer does not get reset, so the last event ID
    // string of the event source remains set to this value until the next time
    // it is set by the server."
    lastEventId = lastEventIdBuffer;

    // "2. If the data buffer is an empty string, set the data buffer and the
    // event type buffer to the empty string and return."
    if (dataBuffer === "") {
      dataBuffer = "";
      eventTypeBuffer = "";
      return;
    }

    // "3. If the data buffer's last character is a U+000A LINE FEED (LF)
    // character, then remove the last character from the data buffer."
    if (dataBuffer.endsWith("\n")) dataBuffer = dataBuffer.slice(0, -1);

    // "4. Let event be the result of creating an event using MessageEvent ..."
    // "5. Initialize event's type attribute to "message", its data attribute to
    // data, ... and its lastEventId attribute to the last event ID string of the
    // event source."
    const event = {
      event: "message",
      data: dataBuffer,
      id: lastEventId,
      retry: newRetry,
    };
    newRetry = undefined;

    // "6. If the event type buffer has a value other than the empty string,
    // change the type of the newly created event to equal the value of the event
    // type buffer."
    if (eventTypeBuffer !== "") event.event = eventTypeBuffer;

    // "7. Set the data buffer and the event type buffer to the empty string."
    dataBuffer = "";
    eventTypeBuffer = "";

    // "8. Queue a task which ... dispatches the newly created event".
    events.push(event);
  }
}

/**
 * "with a U+000D CARRIAGE RETURN U+000A LINE FEED (CRLF) character pair, a single
 * U+000A LINE FEED (LF) character not preceded by a U+000D CARRIAGE RETURN (CR)
 * character, and a single U+000D CARRIAGE RETURN (CR) character not followed by a
 * U+000A LINE FEED (LF) character being the ways in which a line can end."
 *
 * Text after the last line end is not a line.
 */
function splitLines(text: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\r" && text[i + 1] === "\n") {
      lines.push(line);
      line = "";
      i++;
    } else if (text[i] === "\r" || text[i] === "\n") {
      lines.push(line);
      line = "";
    } else {
      line += text[i];
    }
  }
  return lines;
}

function withoutLeadingSpace(value: string): string {
  return value.startsWith(" ") ? value.slice(1) : value;
}
