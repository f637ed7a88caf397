from openai import OpenAI

client = OpenAI()  # OPENAI_BASE_URL=http://127.0.0.1:8377/v1, OPENAI_API_KEY=the user's key
draft = client.chat.completions.create(
    model="corll", messages=[{"role": "user", "content": "The parcel is late."}]
)
edit = {"draft_id": draft.id, "text": "Your parcel comes on Friday."}
client.post("/edits", cast_to=object, body=edit)
