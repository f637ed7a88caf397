import os

from smolagents import ChatMessage, OpenAIServerModel

url, key = os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]
model = OpenAIServerModel(model_id="corll", api_base=url, api_key=key)
asked = [ChatMessage(role="user", content=[{"type": "text", "text": "The parcel is late."}])]
draft = "".join(delta.content or "" for delta in model.generate_stream(asked))
edit = {"draft_text": draft, "text": "Your parcel comes on Friday."}
model.client.post("/edits", cast_to=object, body=edit)
