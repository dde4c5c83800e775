"""What family B says to people, in the language that they ask for: Korean, English, Russian, Kazakh or Chinese."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from vivavoce.errors import Cancelled, Overloaded, TimedOut, VivavoceError, WorkerDied

__all__ = ["LANGUAGES", "Key", "Messages"]

LANGUAGES = ("ko", "en", "ru", "kk", "zh")
"""What there are sentences in; the first is spoken to whoever names no language."""
_FOREIGN = "en"
"""Spoken to whoever names only others."""
_RANGE = re.compile(r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9]{1,8})*\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?", re.ASCII)
_LONGEST_HEADER = 1000

Key = Literal[
    "tts",
    "tts_done",
    "lipsync",
    "text_missing",
    "text_signs",
    "text_long",
    "avatar_missing",
    "avatar_string",
    "avatar_unknown",
    "avatar_path_string",
    "avatar_path_unknown",
    "avatar_twice",
    "resolution",
    "frame_skip",
    "tts_engine_string",
    "tts_engine_unknown",
    "tts_engine_closed",
    "tts_voice_string",
    "tts_voice_unknown",
    "language_string",
    "language_unknown",
    "not_json",
    "not_object",
    "overloaded",
    "cancelled",
    "timed_out",
    "failed",
    "task_unknown",
    "task_ended",
    "result_unknown",
]

# Korean, English, Russian, Kazakh, Chinese.
_TABLE: Mapping[Key, tuple[str, str, str, str, str]] = {
    "tts": (
        "TTS 음성 생성 중...",
        "Making the voice...",
        "Создаётся голос...",
        "Дауыс жасалуда...",
        "正在生成语音...",
    ),
    "tts_done": (
        "TTS 완료 ({seconds}초)",
        "The voice is ready ({seconds} s)",
        "Голос готов ({seconds} с)",
        "Дауыс дайын ({seconds} с)",
        "语音已生成（{seconds} 秒）",
    ),
    "lipsync": (
        "립싱크 비디오 생성 중...",
        "Making the lip-synced video...",
        "Создаётся видео с движением губ...",
        "Ерін қимылы бар бейне жасалуда...",
        "正在生成口型同步视频...",
    ),
    "text_missing": (
        "text는 필수입니다. 비어 있지 않은 문자열을 보내 주세요.",
        "text is required: a string that is not blank.",
        "Поле text обязательно: нужна непустая строка.",
        "text өрісі міндетті: бос емес жол жіберіңіз.",
        "text 为必填项，请发送非空字符串。",
    ),
    "text_signs": (
        "text에 읽을 내용이 없습니다. 단어나 숫자를 하나 이상 적어 주세요.",
        "text has nothing to say, only signs; write at least one word or number.",
        "В text одни знаки, сказать нечего; напишите хотя бы одно слово или число.",
        "text ішінде тек белгілер бар; кемінде бір сөз немесе сан жазыңыз.",
        "text 中只有符号，没有可读的内容；请至少写一个词或数字。",
    ),
    "text_long": (
        "text가 {length}자입니다. 최대 {limit}자까지 가능하니 나누어 보내 주세요.",
        "text has {length} characters; at most {limit} are allowed: send it in parts.",
        "В text {length} знаков, а можно не больше {limit}: отправьте его по частям.",
        "text ішінде {length} таңба бар, ал ең көбі {limit}: бөліп жіберіңіз.",
        "text 有 {length} 个字符，最多允许 {limit} 个，请分段发送。",
    ),
    "avatar_missing": (
        "avatar 또는 avatar_path 중 하나는 필수입니다. 사용 가능한 아바타: {names}.",
        "avatar or avatar_path is required; there are: {names}.",
        "Нужно поле avatar или avatar_path; аватары: {names}.",
        "avatar немесе avatar_path өрісі қажет; аватарлар: {names}.",
        "avatar 与 avatar_path 必须提供其一；可用的数字人：{names}。",
    ),
    "avatar_string": (
        "avatar는 아바타 이름(문자열)이어야 합니다.",
        "avatar must be a string, the name of an avatar.",
        "Поле avatar должно быть строкой: именем аватара.",
        "avatar өрісі жол болуы керек: аватардың аты.",
        "avatar 必须是字符串，即数字人的名称。",
    ),
    "avatar_unknown": (
        "아바타 {name}을(를) 찾을 수 없습니다. 사용 가능한 아바타: {names}.",
        "There is no avatar {name}; there are: {names}.",
        "Аватара {name} нет; есть: {names}.",
        "{name} аватары жоқ; барлары: {names}.",
        "没有数字人 {name}；可用的有：{names}。",
    ),
    "avatar_path_string": (
        "avatar_path는 문자열이어야 합니다. GET /api/avatars에 있는 경로를 보내 주세요.",
        "avatar_path must be a string, a path that GET /api/avatars lists.",
        "Поле avatar_path должно быть строкой: путём из GET /api/avatars.",
        "avatar_path өрісі жол болуы керек: GET /api/avatars тізіміндегі жол.",
        "avatar_path 必须是字符串，即 GET /api/avatars 列出的路径。",
    ),
    "avatar_path_unknown": (
        "해당 avatar_path의 아바타를 찾을 수 없습니다. GET /api/avatars에 있는 경로를 보내 주세요. 아바타: {names}.",
        "There is no avatar at that avatar_path; send a path that GET /api/avatars lists, for one of: {names}.",
        "По этому avatar_path аватара нет; нужен путь из GET /api/avatars для одного из: {names}.",
        "Бұл avatar_path бойынша аватар жоқ; GET /api/avatars тізіміндегі жолды жіберіңіз: {names}.",
        "该 avatar_path 下没有数字人；请发送 GET /api/avatars 列出的路径，可用的有：{names}。",
    ),
    "avatar_twice": (
        "avatar와 avatar_path가 서로 다른 아바타를 가리킵니다. 하나만 보내 주세요.",
        "avatar and avatar_path name two different avatars; send one of them.",
        "avatar и avatar_path называют разных аватаров; отправьте что-то одно.",
        "avatar мен avatar_path әртүрлі аватарды атайды; біреуін ғана жіберіңіз.",
        "avatar 与 avatar_path 指向不同的数字人，请只发送其中一个。",
    ),
    "resolution": (
        "resolution은 720p, 480p, 360p 중 하나여야 합니다.",
        "resolution must be 720p, 480p or 360p.",
        "resolution может быть 720p, 480p или 360p.",
        "resolution мәні 720p, 480p немесе 360p болуы керек.",
        "resolution 必须是 720p、480p 或 360p。",
    ),
    "frame_skip": (
        "frame_skip은 1에서 4 사이의 정수여야 합니다.",
        "frame_skip must be a whole number from 1 to 4.",
        "frame_skip должен быть целым числом от 1 до 4.",
        "frame_skip 1-ден 4-ке дейінгі бүтін сан болуы керек.",
        "frame_skip 必须是 1 到 4 的整数。",
    ),
    "tts_engine_string": (
        "tts_engine은 음성 엔진 이름(문자열)이어야 합니다.",
        "tts_engine must be a string, the name of a voice engine.",
        "Поле tts_engine должно быть строкой: именем движка голоса.",
        "tts_engine өрісі жол болуы керек: дауыс қозғалтқышының аты.",
        "tts_engine 必须是字符串，即语音引擎的名称。",
    ),
    "tts_engine_unknown": (
        "TTS 엔진 {name}은(는) 없습니다. 사용 가능한 엔진: {names}.",
        "There is no voice engine {name}; there are: {names}.",
        "Движка голоса {name} нет; есть: {names}.",
        "{name} дауыс қозғалтқышы жоқ; барлары: {names}.",
        "没有语音引擎 {name}；可用的有：{names}。",
    ),
    "tts_engine_closed": (
        "TTS 엔진 {name}은(는) 이 서버에 설정되어 있지 않습니다{cure}. 사용 가능한 엔진: {names}.",
        "The voice engine {name} is not set up on this server{cure}; there are: {names}.",
        "Движок голоса {name} на этом сервере не настроен{cure}; есть: {names}.",
        "{name} дауыс қозғалтқышы бұл серверде бапталмаған{cure}; барлары: {names}.",
        "语音引擎 {name} 未在此服务器上配置{cure}；可用的有：{names}。",
    ),
    "tts_voice_string": (
        "tts_voice는 음성 이름(문자열)이어야 합니다.",
        "tts_voice must be a string, the id of a voice, or Custom.",
        "Поле tts_voice должно быть строкой: именем голоса или Custom.",
        "tts_voice өрісі жол болуы керек: дауыстың аты немесе Custom.",
        "tts_voice 必须是字符串，即声音的名称或 Custom。",
    ),
    "tts_voice_unknown": (
        "TTS 엔진 {engine}에 음성 {name}이(가) 없습니다. 사용 가능한 음성: {names}.",
        "The voice engine {engine} has no voice {name}; there are: {names}.",
        "У движка {engine} нет голоса {name}; есть: {names}.",
        "{engine} қозғалтқышында {name} дауысы жоқ; барлары: {names}.",
        "语音引擎 {engine} 没有声音 {name}；可用的有：{names}。",
    ),
    "language_string": (
        "language는 ko, en, ru, kk, zh 같은 문자열이어야 합니다.",
        "language must be a string such as ko, en, ru, kk or zh.",
        "Поле language должно быть строкой, например ko, en, ru, kk или zh.",
        "language өрісі жол болуы керек, мысалы ko, en, ru, kk немесе zh.",
        "language 必须是字符串，例如 ko、en、ru、kk 或 zh。",
    ),
    "language_unknown": (
        "TTS 엔진 {engine}은(는) 이 언어({name})를 말하지 못합니다. 가능한 언어: {names}.",
        "The voice engine {engine} does not speak that language ({name}); it speaks {names}.",
        "Движок голоса {engine} не говорит на этом языке ({name}); есть: {names}.",
        "{engine} дауыс қозғалтқышы бұл тілде ({name}) сөйлемейді; барлары: {names}.",
        "语音引擎 {engine} 不支持该语言（{name}）；支持的有：{names}。",
    ),
    "not_json": (
        "본문이 올바른 JSON이 아닙니다.",
        "The body is not valid JSON.",
        "Тело запроса не является JSON.",
        "Сұраудың мазмұны JSON емес.",
        "请求体不是有效的 JSON。",
    ),
    "not_object": (
        "Content-Type: application/json 헤더와 함께 JSON 객체를 보내 주세요.",
        "Send a JSON object, with the header Content-Type: application/json.",
        "Отправьте объект JSON с заголовком Content-Type: application/json.",
        "Content-Type: application/json тақырыбымен JSON нысанын жіберіңіз.",
        "请发送 JSON 对象，并带上请求头 Content-Type: application/json。",
    ),
    "overloaded": (
        "처리 중인 요청이 너무 많습니다. 잠시 후 다시 시도해 주세요.",
        "Too many requests are under way; try again in a moment.",
        "Сейчас слишком много запросов; повторите немного позже.",
        "Қазір сұраулар тым көп; сәл кейінірек қайталаңыз.",
        "正在处理的请求过多，请稍后再试。",
    ),
    "cancelled": (
        "작업이 취소되었습니다.",
        "The task was cancelled.",
        "Задача отменена.",
        "Тапсырма тоқтатылды.",
        "任务已取消。",
    ),
    "timed_out": (
        "작업이 너무 오래 걸려 중단되었습니다. 더 짧은 텍스트를 보내거나 다시 시도해 주세요.",
        "The work took too long and was stopped; send a shorter text or try again.",
        "Работа заняла слишком много времени и остановлена; отправьте текст короче или повторите.",
        "Жұмыс тым ұзаққа созылып, тоқтатылды; қысқарақ мәтін жіберіңіз немесе қайталаңыз.",
        "处理时间过长，已停止；请发送更短的文本或重试。",
    ),
    "failed": (
        "서버 내부 오류가 발생했습니다. 기록되었으니 다시 시도해 주세요.",
        "Something went wrong on the server; it has been logged. Try again.",
        "На сервере произошла ошибка; она записана. Повторите запрос.",
        "Серверде қате болды; ол жазылды. Қайталап көріңіз.",
        "服务器内部错误，已记录，请重试。",
    ),
    "task_unknown": (
        "해당 작업을 찾을 수 없습니다.",
        "There is no such task.",
        "Такой задачи нет.",
        "Мұндай тапсырма жоқ.",
        "没有该任务。",
    ),
    "task_ended": (
        "작업이 이미 끝나서 취소할 수 없습니다.",
        "The task has ended already and cannot be cancelled.",
        "Задача уже закончена, отменить её нельзя.",
        "Тапсырма аяқталып қойған, оны тоқтатуға болмайды.",
        "任务已结束，无法取消。",
    ),
    "result_unknown": (
        "해당 결과가 없습니다. 이미 삭제되었을 수 있으니 다시 요청해 주세요.",
        "There is no such result; it may have been removed since, ask for it again.",
        "Такого результата нет; возможно, он уже удалён, запросите его снова.",
        "Мұндай нәтиже жоқ; ол жойылған болуы мүмкін, қайта сұраңыз.",
        "没有该结果；可能已被删除，请重新请求。",
    ),
}
_OF_ERRORS: tuple[tuple[type[VivavoceError], Key], ...] = (
    (Overloaded, "overloaded"),
    (Cancelled, "cancelled"),
    (TimedOut, "timed_out"),
    (WorkerDied, "failed"),
)


class Messages:
    """The sentences of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._column = LANGUAGES.index(language)

    @classmethod
    def accepted(cls, header: str | None) -> "Messages":
        """In the best language of an ``Accept-Language`` header (RFC 9110, 12.5.4).

        Korean when it is absent or takes any, English when it names only languages that are not spoken here.
        """
        wanted = [_RANGE.fullmatch(part) for part in (header or "")[:_LONGEST_HEADER].split(",")]
        weighed = sorted(((float(m[2] or 1), m[1].lower()) for m in wanted if m), key=lambda w: -w[0])
        tags = [tag for weight, tag in weighed if weight > 0]
        for tag in tags:
            if tag in LANGUAGES or tag == "*":
                return cls(LANGUAGES[0] if tag == "*" else tag)
        return cls(_FOREIGN if tags else LANGUAGES[0])

    def __call__(self, key: Key, **values: object) -> str:
        """One sentence; ``values`` fill its gaps: a list is joined, a number written as the language does."""
        return _TABLE[key][self._column].format(**{name: self._written(value) for name, value in values.items()})

    def of(self, error: VivavoceError) -> str:
        """What an error says: its own words where nobody else has any."""
        if self.language != "en":
            for kind, key in _OF_ERRORS:
                if isinstance(error, kind):
                    return self(key)
            if type(error) is VivavoceError:
                return self("failed")
        return str(error)

    def refusal(self, errors: Sequence[Any]) -> str:
        """What is wrong with a body, out of the framework's list; the types of its fields name keys as their words."""
        first = errors[0]
        field = next((part for part in first["loc"][1:] if isinstance(part, str)), None)
        match first["type"]:
            case "sentence":
                return self(first["msg"])
            case "json_invalid":
                return self("not_json")
            case "missing" if field == "text":
                return self("text_missing")
            case _:
                return self("not_object")

    def _written(self, value: object) -> str:
        match value:
            case float():
                text = f"{value:.1f}"
                return text.replace(".", ",") if self.language in ("ru", "kk") else text
            case list() | tuple():
                return "、".join(map(str, value)) if self.language == "zh" else ", ".join(map(str, value))
            case _:
                return str(value)
