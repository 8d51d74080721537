//! The words of the site around the widget, and the language a visitor reads. Must never know the widget's own words.

use axum::http::{HeaderMap, header};

use crate::widget::labels::{self, LANGUAGES, base};

/// What the site says in one language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) heading: &'static str,
    pub(super) promise: &'static str,
    pub(super) description: &'static str,
    pub(super) footer: &'static str,
    pub(super) nothing_stored: &'static str,
    pub(super) no_such_upload: &'static str,
    pub(super) stored: &'static str,
    pub(super) back: &'static str,
    pub(super) failed: &'static str,
    pub(super) later: &'static str,
}

/// The words of this language, or else English.
pub(super) fn words(lang: &str) -> &'static Words {
    WORDS.iter().find(|(name, _)| *name == base(lang)).map_or(&ENGLISH, |(_, words)| words)
}

/// The language to answer in: what the address asks for (`?lang=`), else the first that the browser accepts and that
/// there are words in (RFC 9110, section 12.5.4), else English. A variant (`de-CH`) stays one: numbers are written
/// as they are there.
pub(super) fn language(query: Option<&str>, headers: &HeaderMap) -> String {
    let asked = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("lang="));
    let accepted =
        headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut wanted: Vec<(u32, &str)> = accepted.split(',').filter_map(wish).collect();
    wanted.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
    let mut tags = asked.into_iter().chain(wanted.into_iter().map(|(_, tag)| tag));
    tags.find_map(known).unwrap_or_else(|| "en".to_owned())
}

/// One item of `Accept-Language` and its quality in thousandths; nothing where that is 0.
fn wish(item: &str) -> Option<(u32, &str)> {
    let (tag, parameter) = item.split_once(';').unwrap_or((item, ""));
    let quality = match parameter.trim().strip_prefix("q=") {
        None => 1000,
        Some(text) => {
            let quality: f32 = text.parse().ok().filter(|quality| (0.0..=1.0).contains(quality))?;
            (quality * 1000.0) as u32
        }
    };
    (quality > 0).then(|| (quality, tag.trim()))
}

/// A tag of a language that there are words in, as it is written into pages.
fn known(tag: &str) -> Option<String> {
    let parts =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if tag.len() > 35 || !tag.split('-').all(parts) {
        return None;
    }
    let lang = labels::tag(tag, false);
    (base(&lang) == "en" || LANGUAGES.contains(&base(&lang))).then_some(lang)
}

const ENGLISH: Words = Words {
    heading: "Upload files",
    promise: "The bar shows what the server has received, not what your browser hopes.",
    description: "File uploads whose progress is true",
    footer: "100% means stored: the bar is full only after the server has said so.",
    nothing_stored: "Nothing stored",
    no_such_upload: "There is no such upload of yours.",
    stored: "Stored",
    back: "Back to the upload page",
    failed: "This did not work",
    later: "Trying again later may help.",
};

const WORDS: [(&str, Words); 6] = [
    (
        "ar",
        Words {
            heading: "رفع الملفات",
            promise: "الشريط يعرض ما استلمه الخادم فعلًا، لا ما يتوقعه متصفحك.",
            description: "رفع ملفات بتقدّم صادق",
            footer: "100% تعني أن الملف محفوظ: لا يمتلئ الشريط إلا بعد تأكيد الخادم.",
            nothing_stored: "لم يُحفظ شيء",
            no_such_upload: "لا يوجد رفع كهذا لديك.",
            stored: "محفوظ",
            back: "العودة إلى صفحة الرفع",
            failed: "لم ينجح ذلك",
            later: "قد تفيد إعادة المحاولة لاحقًا.",
        },
    ),
    (
        "de",
        Words {
            heading: "Dateien hochladen",
            promise: "Der Balken zeigt, was der Server empfangen hat, nicht, was der Browser hofft.",
            description: "Uploads, deren Fortschritt stimmt",
            footer: "100 % heißt gespeichert: Der Balken ist erst voll, wenn der Server es bestätigt hat.",
            nothing_stored: "Nichts gespeichert",
            no_such_upload: "Von Ihnen gibt es keinen solchen Upload.",
            stored: "Gespeichert",
            back: "Zurück zum Hochladen",
            failed: "Das hat nicht geklappt",
            later: "Ein späterer Versuch kann helfen.",
        },
    ),
    (
        "es",
        Words {
            heading: "Subir archivos",
            promise: "La barra muestra lo que ha recibido el servidor, no lo que espera el navegador.",
            description: "Subidas de archivos con un progreso verdadero",
            footer: "100 % significa guardado: la barra solo se llena cuando el servidor lo confirma.",
            nothing_stored: "No se ha guardado nada",
            no_such_upload: "No tiene ninguna subida así.",
            stored: "Guardado",
            back: "Volver a la página de subida",
            failed: "Esto no ha funcionado",
            later: "Puede que más tarde funcione.",
        },
    ),
    (
        "fr",
        Words {
            heading: "Envoyer des fichiers",
            promise: "La barre montre ce que le serveur a reçu, pas ce que votre navigateur espère.",
            description: "Des envois de fichiers dont la progression est vraie",
            footer: "100\u{202f}% veut dire enregistré\u{a0}: la barre n’est pleine qu’après confirmation du serveur.",
            nothing_stored: "Rien d’enregistré",
            no_such_upload: "Aucun de vos envois ne correspond.",
            stored: "Enregistré",
            back: "Retour à la page d’envoi",
            failed: "Cela n’a pas fonctionné",
            later: "Réessayer plus tard peut aider.",
        },
    ),
    (
        "ja",
        Words {
            heading: "ファイルのアップロード",
            promise: "バーが示すのはサーバーが実際に受信した量で、ブラウザーの見込みではありません。",
            description: "進み具合が正しいファイルアップロード",
            footer: "100%は保存済みという意味です。サーバーが確認するまでバーは満たされません。",
            nothing_stored: "保存されたものはありません",
            no_such_upload: "該当するアップロードはありません。",
            stored: "保存済み",
            back: "アップロードページに戻る",
            failed: "うまくいきませんでした",
            later: "後でもう一度試すと解決することがあります。",
        },
    ),
    (
        "zh",
        Words {
            heading: "上传文件",
            promise: "进度条显示服务器实际收到的内容，而不是浏览器的估计。",
            description: "进度真实的文件上传",
            footer: "100% 表示已保存：只有服务器确认后，进度条才会满。",
            nothing_stored: "没有保存任何文件",
            no_such_upload: "您没有这样的上传。",
            stored: "已保存",
            back: "返回上传页面",
            failed: "操作未成功",
            later: "稍后重试可能有用。",
        },
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(query: &str, accepts: &'static str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, axum::http::HeaderValue::from_static(accepts));
        language(Some(query), &headers)
    }

    #[test]
    fn the_language_is_the_first_that_is_known() {
        for (query, accepts, lang) in [
            ("", "", "en"),
            ("", "de", "de"),
            ("", "de-CH,de;q=0.9,en;q=0.8", "de-CH"),
            ("", "pt-BR, pt;q=0.9, fr;q=0.5, es;q=0.7", "es"),
            ("", "fr;q=0, *", "en"),
            ("", "fr;q=2, DE", "de"),
            ("", "ZH-CN", "zh-CN"),
            ("", "zh-Hans-HK", "zh-Hans-HK"),
            // Not what was asked for, and said to be what it is.
            ("", "zh-Hant-TW", "zh-Hans"),
            ("", "zh-hk, en;q=0.8", "zh-Hans"),
            ("protocol=form&lang=ar", "de", "ar"),
            ("lang=tlh", "ja", "ja"),
            ("lang=de\"><script>", "", "en"),
            ("lang=de-", "", "en"),
            ("lang=", "en-GB", "en-GB"),
        ] {
            assert_eq!(asks(query, accepts), lang, "{query} {accepts}");
        }
    }

    #[test]
    fn every_language_of_the_widget_is_one_of_the_site() {
        assert_eq!(WORDS.map(|(name, _)| name), LANGUAGES);
        for (name, words) in WORDS {
            assert_ne!(words.heading, ENGLISH.heading, "{name}");
        }
        assert_eq!(words("fr-CA").back, "Retour à la page d’envoi");
        assert_eq!(words("tlh"), &ENGLISH);
    }
}
