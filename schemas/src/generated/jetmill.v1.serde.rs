impl serde::Serialize for Adapter {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.name.is_empty() {
            len += 1;
        }
        if !self.digest.is_empty() {
            len += 1;
        }
        if self.rank != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Adapter", len)?;
        if !self.name.is_empty() {
            struct_ser.serialize_field("name", &self.name)?;
        }
        if !self.digest.is_empty() {
            struct_ser.serialize_field("digest", &self.digest)?;
        }
        if self.rank != 0 {
            struct_ser.serialize_field("rank", &self.rank)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Adapter {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "name",
            "digest",
            "rank",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Name,
            Digest,
            Rank,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "name" => Ok(GeneratedField::Name),
                            "digest" => Ok(GeneratedField::Digest),
                            "rank" => Ok(GeneratedField::Rank),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Adapter;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Adapter")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Adapter, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut name__ = None;
                let mut digest__ = None;
                let mut rank__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Name => {
                            if name__.is_some() {
                                return Err(serde::de::Error::duplicate_field("name"));
                            }
                            name__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Digest => {
                            if digest__.is_some() {
                                return Err(serde::de::Error::duplicate_field("digest"));
                            }
                            digest__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Rank => {
                            if rank__.is_some() {
                                return Err(serde::de::Error::duplicate_field("rank"));
                            }
                            rank__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(Adapter {
                    name: name__.unwrap_or_default(),
                    digest: digest__.unwrap_or_default(),
                    rank: rank__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Adapter", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Admitted {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.verdicts.is_empty() {
            len += 1;
        }
        if self.policy_version != 0 {
            len += 1;
        }
        if self.redacted_prompt.is_some() {
            len += 1;
        }
        if self.summary.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Admitted", len)?;
        if !self.verdicts.is_empty() {
            struct_ser.serialize_field("verdicts", &self.verdicts)?;
        }
        if self.policy_version != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("policy_version", ToString::to_string(&self.policy_version).as_str())?;
        }
        if let Some(v) = self.redacted_prompt.as_ref() {
            struct_ser.serialize_field("redacted_prompt", v)?;
        }
        if let Some(v) = self.summary.as_ref() {
            struct_ser.serialize_field("summary", v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Admitted {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "verdicts",
            "policy_version",
            "policyVersion",
            "redacted_prompt",
            "redactedPrompt",
            "summary",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Verdicts,
            PolicyVersion,
            RedactedPrompt,
            Summary,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "verdicts" => Ok(GeneratedField::Verdicts),
                            "policyVersion" | "policy_version" => Ok(GeneratedField::PolicyVersion),
                            "redactedPrompt" | "redacted_prompt" => Ok(GeneratedField::RedactedPrompt),
                            "summary" => Ok(GeneratedField::Summary),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Admitted;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Admitted")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Admitted, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut verdicts__ = None;
                let mut policy_version__ = None;
                let mut redacted_prompt__ = None;
                let mut summary__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Verdicts => {
                            if verdicts__.is_some() {
                                return Err(serde::de::Error::duplicate_field("verdicts"));
                            }
                            verdicts__ = Some(map_.next_value()?);
                        }
                        GeneratedField::PolicyVersion => {
                            if policy_version__.is_some() {
                                return Err(serde::de::Error::duplicate_field("policyVersion"));
                            }
                            policy_version__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::RedactedPrompt => {
                            if redacted_prompt__.is_some() {
                                return Err(serde::de::Error::duplicate_field("redactedPrompt"));
                            }
                            redacted_prompt__ = map_.next_value()?;
                        }
                        GeneratedField::Summary => {
                            if summary__.is_some() {
                                return Err(serde::de::Error::duplicate_field("summary"));
                            }
                            summary__ = map_.next_value()?;
                        }
                    }
                }
                Ok(Admitted {
                    verdicts: verdicts__.unwrap_or_default(),
                    policy_version: policy_version__.unwrap_or_default(),
                    redacted_prompt: redacted_prompt__,
                    summary: summary__,
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Admitted", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for AnswerOptions {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.includes_reasoning {
            len += 1;
        }
        if self.include_usage {
            len += 1;
        }
        if self.continuous_usage_stats {
            len += 1;
        }
        if !self.encoding_format.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.AnswerOptions", len)?;
        if self.includes_reasoning {
            struct_ser.serialize_field("includes_reasoning", &self.includes_reasoning)?;
        }
        if self.include_usage {
            struct_ser.serialize_field("include_usage", &self.include_usage)?;
        }
        if self.continuous_usage_stats {
            struct_ser.serialize_field("continuous_usage_stats", &self.continuous_usage_stats)?;
        }
        if !self.encoding_format.is_empty() {
            struct_ser.serialize_field("encoding_format", &self.encoding_format)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for AnswerOptions {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "includes_reasoning",
            "includesReasoning",
            "include_usage",
            "includeUsage",
            "continuous_usage_stats",
            "continuousUsageStats",
            "encoding_format",
            "encodingFormat",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            IncludesReasoning,
            IncludeUsage,
            ContinuousUsageStats,
            EncodingFormat,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "includesReasoning" | "includes_reasoning" => Ok(GeneratedField::IncludesReasoning),
                            "includeUsage" | "include_usage" => Ok(GeneratedField::IncludeUsage),
                            "continuousUsageStats" | "continuous_usage_stats" => Ok(GeneratedField::ContinuousUsageStats),
                            "encodingFormat" | "encoding_format" => Ok(GeneratedField::EncodingFormat),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = AnswerOptions;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.AnswerOptions")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<AnswerOptions, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut includes_reasoning__ = None;
                let mut include_usage__ = None;
                let mut continuous_usage_stats__ = None;
                let mut encoding_format__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::IncludesReasoning => {
                            if includes_reasoning__.is_some() {
                                return Err(serde::de::Error::duplicate_field("includesReasoning"));
                            }
                            includes_reasoning__ = Some(map_.next_value()?);
                        }
                        GeneratedField::IncludeUsage => {
                            if include_usage__.is_some() {
                                return Err(serde::de::Error::duplicate_field("includeUsage"));
                            }
                            include_usage__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ContinuousUsageStats => {
                            if continuous_usage_stats__.is_some() {
                                return Err(serde::de::Error::duplicate_field("continuousUsageStats"));
                            }
                            continuous_usage_stats__ = Some(map_.next_value()?);
                        }
                        GeneratedField::EncodingFormat => {
                            if encoding_format__.is_some() {
                                return Err(serde::de::Error::duplicate_field("encodingFormat"));
                            }
                            encoding_format__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(AnswerOptions {
                    includes_reasoning: includes_reasoning__.unwrap_or_default(),
                    include_usage: include_usage__.unwrap_or_default(),
                    continuous_usage_stats: continuous_usage_stats__.unwrap_or_default(),
                    encoding_format: encoding_format__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.AnswerOptions", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Assigned {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.attempt != 0 {
            len += 1;
        }
        if !self.deployment.is_empty() {
            len += 1;
        }
        if !self.pool.is_empty() {
            len += 1;
        }
        if self.summary.is_some() {
            len += 1;
        }
        if !self.reasons.is_empty() {
            len += 1;
        }
        if self.history.is_some() {
            len += 1;
        }
        if self.control_sequence != 0 {
            len += 1;
        }
        if !self.silent_deployments.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Assigned", len)?;
        if self.attempt != 0 {
            struct_ser.serialize_field("attempt", &self.attempt)?;
        }
        if !self.deployment.is_empty() {
            struct_ser.serialize_field("deployment", &self.deployment)?;
        }
        if !self.pool.is_empty() {
            struct_ser.serialize_field("pool", &self.pool)?;
        }
        if let Some(v) = self.summary.as_ref() {
            struct_ser.serialize_field("summary", v)?;
        }
        if !self.reasons.is_empty() {
            struct_ser.serialize_field("reasons", &self.reasons)?;
        }
        if let Some(v) = self.history.as_ref() {
            struct_ser.serialize_field("history", v)?;
        }
        if self.control_sequence != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("control_sequence", ToString::to_string(&self.control_sequence).as_str())?;
        }
        if !self.silent_deployments.is_empty() {
            struct_ser.serialize_field("silent_deployments", &self.silent_deployments)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Assigned {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "attempt",
            "deployment",
            "pool",
            "summary",
            "reasons",
            "history",
            "control_sequence",
            "controlSequence",
            "silent_deployments",
            "silentDeployments",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Attempt,
            Deployment,
            Pool,
            Summary,
            Reasons,
            History,
            ControlSequence,
            SilentDeployments,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "attempt" => Ok(GeneratedField::Attempt),
                            "deployment" => Ok(GeneratedField::Deployment),
                            "pool" => Ok(GeneratedField::Pool),
                            "summary" => Ok(GeneratedField::Summary),
                            "reasons" => Ok(GeneratedField::Reasons),
                            "history" => Ok(GeneratedField::History),
                            "controlSequence" | "control_sequence" => Ok(GeneratedField::ControlSequence),
                            "silentDeployments" | "silent_deployments" => Ok(GeneratedField::SilentDeployments),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Assigned;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Assigned")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Assigned, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut attempt__ = None;
                let mut deployment__ = None;
                let mut pool__ = None;
                let mut summary__ = None;
                let mut reasons__ = None;
                let mut history__ = None;
                let mut control_sequence__ = None;
                let mut silent_deployments__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Attempt => {
                            if attempt__.is_some() {
                                return Err(serde::de::Error::duplicate_field("attempt"));
                            }
                            attempt__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Deployment => {
                            if deployment__.is_some() {
                                return Err(serde::de::Error::duplicate_field("deployment"));
                            }
                            deployment__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Pool => {
                            if pool__.is_some() {
                                return Err(serde::de::Error::duplicate_field("pool"));
                            }
                            pool__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Summary => {
                            if summary__.is_some() {
                                return Err(serde::de::Error::duplicate_field("summary"));
                            }
                            summary__ = map_.next_value()?;
                        }
                        GeneratedField::Reasons => {
                            if reasons__.is_some() {
                                return Err(serde::de::Error::duplicate_field("reasons"));
                            }
                            reasons__ = Some(map_.next_value()?);
                        }
                        GeneratedField::History => {
                            if history__.is_some() {
                                return Err(serde::de::Error::duplicate_field("history"));
                            }
                            history__ = map_.next_value()?;
                        }
                        GeneratedField::ControlSequence => {
                            if control_sequence__.is_some() {
                                return Err(serde::de::Error::duplicate_field("controlSequence"));
                            }
                            control_sequence__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::SilentDeployments => {
                            if silent_deployments__.is_some() {
                                return Err(serde::de::Error::duplicate_field("silentDeployments"));
                            }
                            silent_deployments__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(Assigned {
                    attempt: attempt__.unwrap_or_default(),
                    deployment: deployment__.unwrap_or_default(),
                    pool: pool__.unwrap_or_default(),
                    summary: summary__,
                    reasons: reasons__.unwrap_or_default(),
                    history: history__,
                    control_sequence: control_sequence__.unwrap_or_default(),
                    silent_deployments: silent_deployments__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Assigned", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for AttemptFailed {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.attempt != 0 {
            len += 1;
        }
        if !self.worker.is_empty() {
            len += 1;
        }
        if self.failure.is_some() {
            len += 1;
        }
        if self.summary.is_some() {
            len += 1;
        }
        if self.history.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.AttemptFailed", len)?;
        if self.attempt != 0 {
            struct_ser.serialize_field("attempt", &self.attempt)?;
        }
        if !self.worker.is_empty() {
            struct_ser.serialize_field("worker", &self.worker)?;
        }
        if let Some(v) = self.failure.as_ref() {
            struct_ser.serialize_field("failure", v)?;
        }
        if let Some(v) = self.summary.as_ref() {
            struct_ser.serialize_field("summary", v)?;
        }
        if let Some(v) = self.history.as_ref() {
            struct_ser.serialize_field("history", v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for AttemptFailed {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "attempt",
            "worker",
            "failure",
            "summary",
            "history",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Attempt,
            Worker,
            Failure,
            Summary,
            History,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "attempt" => Ok(GeneratedField::Attempt),
                            "worker" => Ok(GeneratedField::Worker),
                            "failure" => Ok(GeneratedField::Failure),
                            "summary" => Ok(GeneratedField::Summary),
                            "history" => Ok(GeneratedField::History),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = AttemptFailed;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.AttemptFailed")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<AttemptFailed, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut attempt__ = None;
                let mut worker__ = None;
                let mut failure__ = None;
                let mut summary__ = None;
                let mut history__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Attempt => {
                            if attempt__.is_some() {
                                return Err(serde::de::Error::duplicate_field("attempt"));
                            }
                            attempt__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Worker => {
                            if worker__.is_some() {
                                return Err(serde::de::Error::duplicate_field("worker"));
                            }
                            worker__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Failure => {
                            if failure__.is_some() {
                                return Err(serde::de::Error::duplicate_field("failure"));
                            }
                            failure__ = map_.next_value()?;
                        }
                        GeneratedField::Summary => {
                            if summary__.is_some() {
                                return Err(serde::de::Error::duplicate_field("summary"));
                            }
                            summary__ = map_.next_value()?;
                        }
                        GeneratedField::History => {
                            if history__.is_some() {
                                return Err(serde::de::Error::duplicate_field("history"));
                            }
                            history__ = map_.next_value()?;
                        }
                    }
                }
                Ok(AttemptFailed {
                    attempt: attempt__.unwrap_or_default(),
                    worker: worker__.unwrap_or_default(),
                    failure: failure__,
                    summary: summary__,
                    history: history__,
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.AttemptFailed", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for AttemptHistory {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.num_failures != 0 {
            len += 1;
        }
        if self.num_workers_lost != 0 {
            len += 1;
        }
        if self.num_blamed != 0 {
            len += 1;
        }
        if self.max_num_unproven != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.AttemptHistory", len)?;
        if self.num_failures != 0 {
            struct_ser.serialize_field("num_failures", &self.num_failures)?;
        }
        if self.num_workers_lost != 0 {
            struct_ser.serialize_field("num_workers_lost", &self.num_workers_lost)?;
        }
        if self.num_blamed != 0 {
            struct_ser.serialize_field("num_blamed", &self.num_blamed)?;
        }
        if self.max_num_unproven != 0 {
            struct_ser.serialize_field("max_num_unproven", &self.max_num_unproven)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for AttemptHistory {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "num_failures",
            "numFailures",
            "num_workers_lost",
            "numWorkersLost",
            "num_blamed",
            "numBlamed",
            "max_num_unproven",
            "maxNumUnproven",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            NumFailures,
            NumWorkersLost,
            NumBlamed,
            MaxNumUnproven,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "numFailures" | "num_failures" => Ok(GeneratedField::NumFailures),
                            "numWorkersLost" | "num_workers_lost" => Ok(GeneratedField::NumWorkersLost),
                            "numBlamed" | "num_blamed" => Ok(GeneratedField::NumBlamed),
                            "maxNumUnproven" | "max_num_unproven" => Ok(GeneratedField::MaxNumUnproven),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = AttemptHistory;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.AttemptHistory")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<AttemptHistory, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut num_failures__ = None;
                let mut num_workers_lost__ = None;
                let mut num_blamed__ = None;
                let mut max_num_unproven__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::NumFailures => {
                            if num_failures__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numFailures"));
                            }
                            num_failures__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NumWorkersLost => {
                            if num_workers_lost__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numWorkersLost"));
                            }
                            num_workers_lost__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NumBlamed => {
                            if num_blamed__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numBlamed"));
                            }
                            num_blamed__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::MaxNumUnproven => {
                            if max_num_unproven__.is_some() {
                                return Err(serde::de::Error::duplicate_field("maxNumUnproven"));
                            }
                            max_num_unproven__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(AttemptHistory {
                    num_failures: num_failures__.unwrap_or_default(),
                    num_workers_lost: num_workers_lost__.unwrap_or_default(),
                    num_blamed: num_blamed__.unwrap_or_default(),
                    max_num_unproven: max_num_unproven__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.AttemptHistory", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for AuditEnvelope {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.schema_version != 0 {
            len += 1;
        }
        if !self.event_id.is_empty() {
            len += 1;
        }
        if self.recorded_at_unix_nanos != 0 {
            len += 1;
        }
        if !self.recorded_by.is_empty() {
            len += 1;
        }
        if self.fact.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.AuditEnvelope", len)?;
        if self.schema_version != 0 {
            struct_ser.serialize_field("schema_version", &self.schema_version)?;
        }
        if !self.event_id.is_empty() {
            struct_ser.serialize_field("event_id", &self.event_id)?;
        }
        if self.recorded_at_unix_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("recorded_at_unix_nanos", ToString::to_string(&self.recorded_at_unix_nanos).as_str())?;
        }
        if !self.recorded_by.is_empty() {
            struct_ser.serialize_field("recorded_by", &self.recorded_by)?;
        }
        if let Some(v) = self.fact.as_ref() {
            match v {
                audit_envelope::Fact::CheckpointSigned(v) => {
                    struct_ser.serialize_field("checkpoint_signed", v)?;
                }
                audit_envelope::Fact::RecordAccessed(v) => {
                    struct_ser.serialize_field("record_accessed", v)?;
                }
                audit_envelope::Fact::ContentErased(v) => {
                    struct_ser.serialize_field("content_erased", v)?;
                }
                audit_envelope::Fact::SegmentArchived(v) => {
                    struct_ser.serialize_field("segment_archived", v)?;
                }
            }
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for AuditEnvelope {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "schema_version",
            "schemaVersion",
            "event_id",
            "eventId",
            "recorded_at_unix_nanos",
            "recordedAtUnixNanos",
            "recorded_by",
            "recordedBy",
            "checkpoint_signed",
            "checkpointSigned",
            "record_accessed",
            "recordAccessed",
            "content_erased",
            "contentErased",
            "segment_archived",
            "segmentArchived",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            SchemaVersion,
            EventId,
            RecordedAtUnixNanos,
            RecordedBy,
            CheckpointSigned,
            RecordAccessed,
            ContentErased,
            SegmentArchived,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "schemaVersion" | "schema_version" => Ok(GeneratedField::SchemaVersion),
                            "eventId" | "event_id" => Ok(GeneratedField::EventId),
                            "recordedAtUnixNanos" | "recorded_at_unix_nanos" => Ok(GeneratedField::RecordedAtUnixNanos),
                            "recordedBy" | "recorded_by" => Ok(GeneratedField::RecordedBy),
                            "checkpointSigned" | "checkpoint_signed" => Ok(GeneratedField::CheckpointSigned),
                            "recordAccessed" | "record_accessed" => Ok(GeneratedField::RecordAccessed),
                            "contentErased" | "content_erased" => Ok(GeneratedField::ContentErased),
                            "segmentArchived" | "segment_archived" => Ok(GeneratedField::SegmentArchived),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = AuditEnvelope;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.AuditEnvelope")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<AuditEnvelope, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut schema_version__ = None;
                let mut event_id__ = None;
                let mut recorded_at_unix_nanos__ = None;
                let mut recorded_by__ = None;
                let mut fact__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::SchemaVersion => {
                            if schema_version__.is_some() {
                                return Err(serde::de::Error::duplicate_field("schemaVersion"));
                            }
                            schema_version__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::EventId => {
                            if event_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("eventId"));
                            }
                            event_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::RecordedAtUnixNanos => {
                            if recorded_at_unix_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("recordedAtUnixNanos"));
                            }
                            recorded_at_unix_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::RecordedBy => {
                            if recorded_by__.is_some() {
                                return Err(serde::de::Error::duplicate_field("recordedBy"));
                            }
                            recorded_by__ = Some(map_.next_value()?);
                        }
                        GeneratedField::CheckpointSigned => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("checkpointSigned"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(audit_envelope::Fact::CheckpointSigned)
;
                        }
                        GeneratedField::RecordAccessed => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("recordAccessed"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(audit_envelope::Fact::RecordAccessed)
;
                        }
                        GeneratedField::ContentErased => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("contentErased"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(audit_envelope::Fact::ContentErased)
;
                        }
                        GeneratedField::SegmentArchived => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("segmentArchived"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(audit_envelope::Fact::SegmentArchived)
;
                        }
                    }
                }
                Ok(AuditEnvelope {
                    schema_version: schema_version__.unwrap_or_default(),
                    event_id: event_id__.unwrap_or_default(),
                    recorded_at_unix_nanos: recorded_at_unix_nanos__.unwrap_or_default(),
                    recorded_by: recorded_by__.unwrap_or_default(),
                    fact: fact__,
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.AuditEnvelope", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for BatchCancelRequested {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.batch.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.BatchCancelRequested", len)?;
        if !self.batch.is_empty() {
            struct_ser.serialize_field("batch", &self.batch)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for BatchCancelRequested {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "batch",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Batch,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "batch" => Ok(GeneratedField::Batch),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = BatchCancelRequested;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.BatchCancelRequested")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<BatchCancelRequested, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut batch__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Batch => {
                            if batch__.is_some() {
                                return Err(serde::de::Error::duplicate_field("batch"));
                            }
                            batch__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(BatchCancelRequested {
                    batch: batch__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.BatchCancelRequested", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for BatchCreated {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.batch.is_empty() {
            len += 1;
        }
        if !self.input_file.is_empty() {
            len += 1;
        }
        if !self.endpoint.is_empty() {
            len += 1;
        }
        if !self.completion_window.is_empty() {
            len += 1;
        }
        if self.expires_at_unix_nanos != 0 {
            len += 1;
        }
        if !self.metadata.is_empty() {
            len += 1;
        }
        if !self.caller.is_empty() {
            len += 1;
        }
        if self.output_expires_seconds != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.BatchCreated", len)?;
        if !self.batch.is_empty() {
            struct_ser.serialize_field("batch", &self.batch)?;
        }
        if !self.input_file.is_empty() {
            struct_ser.serialize_field("input_file", &self.input_file)?;
        }
        if !self.endpoint.is_empty() {
            struct_ser.serialize_field("endpoint", &self.endpoint)?;
        }
        if !self.completion_window.is_empty() {
            struct_ser.serialize_field("completion_window", &self.completion_window)?;
        }
        if self.expires_at_unix_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("expires_at_unix_nanos", ToString::to_string(&self.expires_at_unix_nanos).as_str())?;
        }
        if !self.metadata.is_empty() {
            struct_ser.serialize_field("metadata", &self.metadata)?;
        }
        if !self.caller.is_empty() {
            struct_ser.serialize_field("caller", &self.caller)?;
        }
        if self.output_expires_seconds != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("output_expires_seconds", ToString::to_string(&self.output_expires_seconds).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for BatchCreated {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "batch",
            "input_file",
            "inputFile",
            "endpoint",
            "completion_window",
            "completionWindow",
            "expires_at_unix_nanos",
            "expiresAtUnixNanos",
            "metadata",
            "caller",
            "output_expires_seconds",
            "outputExpiresSeconds",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Batch,
            InputFile,
            Endpoint,
            CompletionWindow,
            ExpiresAtUnixNanos,
            Metadata,
            Caller,
            OutputExpiresSeconds,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "batch" => Ok(GeneratedField::Batch),
                            "inputFile" | "input_file" => Ok(GeneratedField::InputFile),
                            "endpoint" => Ok(GeneratedField::Endpoint),
                            "completionWindow" | "completion_window" => Ok(GeneratedField::CompletionWindow),
                            "expiresAtUnixNanos" | "expires_at_unix_nanos" => Ok(GeneratedField::ExpiresAtUnixNanos),
                            "metadata" => Ok(GeneratedField::Metadata),
                            "caller" => Ok(GeneratedField::Caller),
                            "outputExpiresSeconds" | "output_expires_seconds" => Ok(GeneratedField::OutputExpiresSeconds),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = BatchCreated;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.BatchCreated")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<BatchCreated, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut batch__ = None;
                let mut input_file__ = None;
                let mut endpoint__ = None;
                let mut completion_window__ = None;
                let mut expires_at_unix_nanos__ = None;
                let mut metadata__ = None;
                let mut caller__ = None;
                let mut output_expires_seconds__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Batch => {
                            if batch__.is_some() {
                                return Err(serde::de::Error::duplicate_field("batch"));
                            }
                            batch__ = Some(map_.next_value()?);
                        }
                        GeneratedField::InputFile => {
                            if input_file__.is_some() {
                                return Err(serde::de::Error::duplicate_field("inputFile"));
                            }
                            input_file__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Endpoint => {
                            if endpoint__.is_some() {
                                return Err(serde::de::Error::duplicate_field("endpoint"));
                            }
                            endpoint__ = Some(map_.next_value()?);
                        }
                        GeneratedField::CompletionWindow => {
                            if completion_window__.is_some() {
                                return Err(serde::de::Error::duplicate_field("completionWindow"));
                            }
                            completion_window__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ExpiresAtUnixNanos => {
                            if expires_at_unix_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("expiresAtUnixNanos"));
                            }
                            expires_at_unix_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Metadata => {
                            if metadata__.is_some() {
                                return Err(serde::de::Error::duplicate_field("metadata"));
                            }
                            metadata__ = Some(
                                map_.next_value::<std::collections::BTreeMap<_, _>>()?
                            );
                        }
                        GeneratedField::Caller => {
                            if caller__.is_some() {
                                return Err(serde::de::Error::duplicate_field("caller"));
                            }
                            caller__ = Some(map_.next_value()?);
                        }
                        GeneratedField::OutputExpiresSeconds => {
                            if output_expires_seconds__.is_some() {
                                return Err(serde::de::Error::duplicate_field("outputExpiresSeconds"));
                            }
                            output_expires_seconds__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(BatchCreated {
                    batch: batch__.unwrap_or_default(),
                    input_file: input_file__.unwrap_or_default(),
                    endpoint: endpoint__.unwrap_or_default(),
                    completion_window: completion_window__.unwrap_or_default(),
                    expires_at_unix_nanos: expires_at_unix_nanos__.unwrap_or_default(),
                    metadata: metadata__.unwrap_or_default(),
                    caller: caller__.unwrap_or_default(),
                    output_expires_seconds: output_expires_seconds__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.BatchCreated", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for BatchEnded {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.batch.is_empty() {
            len += 1;
        }
        if self.outcome != 0 {
            len += 1;
        }
        if self.counts.is_some() {
            len += 1;
        }
        if !self.output_file.is_empty() {
            len += 1;
        }
        if !self.error_file.is_empty() {
            len += 1;
        }
        if self.failure.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.BatchEnded", len)?;
        if !self.batch.is_empty() {
            struct_ser.serialize_field("batch", &self.batch)?;
        }
        if self.outcome != 0 {
            let v = BatchOutcome::try_from(self.outcome)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.outcome)))?;
            struct_ser.serialize_field("outcome", &v)?;
        }
        if let Some(v) = self.counts.as_ref() {
            struct_ser.serialize_field("counts", v)?;
        }
        if !self.output_file.is_empty() {
            struct_ser.serialize_field("output_file", &self.output_file)?;
        }
        if !self.error_file.is_empty() {
            struct_ser.serialize_field("error_file", &self.error_file)?;
        }
        if let Some(v) = self.failure.as_ref() {
            struct_ser.serialize_field("failure", v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for BatchEnded {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "batch",
            "outcome",
            "counts",
            "output_file",
            "outputFile",
            "error_file",
            "errorFile",
            "failure",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Batch,
            Outcome,
            Counts,
            OutputFile,
            ErrorFile,
            Failure,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "batch" => Ok(GeneratedField::Batch),
                            "outcome" => Ok(GeneratedField::Outcome),
                            "counts" => Ok(GeneratedField::Counts),
                            "outputFile" | "output_file" => Ok(GeneratedField::OutputFile),
                            "errorFile" | "error_file" => Ok(GeneratedField::ErrorFile),
                            "failure" => Ok(GeneratedField::Failure),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = BatchEnded;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.BatchEnded")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<BatchEnded, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut batch__ = None;
                let mut outcome__ = None;
                let mut counts__ = None;
                let mut output_file__ = None;
                let mut error_file__ = None;
                let mut failure__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Batch => {
                            if batch__.is_some() {
                                return Err(serde::de::Error::duplicate_field("batch"));
                            }
                            batch__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Outcome => {
                            if outcome__.is_some() {
                                return Err(serde::de::Error::duplicate_field("outcome"));
                            }
                            outcome__ = Some(map_.next_value::<BatchOutcome>()? as i32);
                        }
                        GeneratedField::Counts => {
                            if counts__.is_some() {
                                return Err(serde::de::Error::duplicate_field("counts"));
                            }
                            counts__ = map_.next_value()?;
                        }
                        GeneratedField::OutputFile => {
                            if output_file__.is_some() {
                                return Err(serde::de::Error::duplicate_field("outputFile"));
                            }
                            output_file__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ErrorFile => {
                            if error_file__.is_some() {
                                return Err(serde::de::Error::duplicate_field("errorFile"));
                            }
                            error_file__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Failure => {
                            if failure__.is_some() {
                                return Err(serde::de::Error::duplicate_field("failure"));
                            }
                            failure__ = map_.next_value()?;
                        }
                    }
                }
                Ok(BatchEnded {
                    batch: batch__.unwrap_or_default(),
                    outcome: outcome__.unwrap_or_default(),
                    counts: counts__,
                    output_file: output_file__.unwrap_or_default(),
                    error_file: error_file__.unwrap_or_default(),
                    failure: failure__,
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.BatchEnded", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for BatchOutcome {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "BATCH_OUTCOME_UNSPECIFIED",
            Self::Completed => "BATCH_OUTCOME_COMPLETED",
            Self::Failed => "BATCH_OUTCOME_FAILED",
            Self::Expired => "BATCH_OUTCOME_EXPIRED",
            Self::Cancelled => "BATCH_OUTCOME_CANCELLED",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for BatchOutcome {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "BATCH_OUTCOME_UNSPECIFIED",
            "BATCH_OUTCOME_COMPLETED",
            "BATCH_OUTCOME_FAILED",
            "BATCH_OUTCOME_EXPIRED",
            "BATCH_OUTCOME_CANCELLED",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = BatchOutcome;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "BATCH_OUTCOME_UNSPECIFIED" => Ok(BatchOutcome::Unspecified),
                    "BATCH_OUTCOME_COMPLETED" => Ok(BatchOutcome::Completed),
                    "BATCH_OUTCOME_FAILED" => Ok(BatchOutcome::Failed),
                    "BATCH_OUTCOME_EXPIRED" => Ok(BatchOutcome::Expired),
                    "BATCH_OUTCOME_CANCELLED" => Ok(BatchOutcome::Cancelled),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
impl serde::Serialize for BatchPlace {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.batch.is_empty() {
            len += 1;
        }
        if self.line_number != 0 {
            len += 1;
        }
        if self.prompt_index != 0 {
            len += 1;
        }
        if self.num_prompts != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.BatchPlace", len)?;
        if !self.batch.is_empty() {
            struct_ser.serialize_field("batch", &self.batch)?;
        }
        if self.line_number != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("line_number", ToString::to_string(&self.line_number).as_str())?;
        }
        if self.prompt_index != 0 {
            struct_ser.serialize_field("prompt_index", &self.prompt_index)?;
        }
        if self.num_prompts != 0 {
            struct_ser.serialize_field("num_prompts", &self.num_prompts)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for BatchPlace {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "batch",
            "line_number",
            "lineNumber",
            "prompt_index",
            "promptIndex",
            "num_prompts",
            "numPrompts",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Batch,
            LineNumber,
            PromptIndex,
            NumPrompts,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "batch" => Ok(GeneratedField::Batch),
                            "lineNumber" | "line_number" => Ok(GeneratedField::LineNumber),
                            "promptIndex" | "prompt_index" => Ok(GeneratedField::PromptIndex),
                            "numPrompts" | "num_prompts" => Ok(GeneratedField::NumPrompts),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = BatchPlace;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.BatchPlace")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<BatchPlace, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut batch__ = None;
                let mut line_number__ = None;
                let mut prompt_index__ = None;
                let mut num_prompts__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Batch => {
                            if batch__.is_some() {
                                return Err(serde::de::Error::duplicate_field("batch"));
                            }
                            batch__ = Some(map_.next_value()?);
                        }
                        GeneratedField::LineNumber => {
                            if line_number__.is_some() {
                                return Err(serde::de::Error::duplicate_field("lineNumber"));
                            }
                            line_number__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::PromptIndex => {
                            if prompt_index__.is_some() {
                                return Err(serde::de::Error::duplicate_field("promptIndex"));
                            }
                            prompt_index__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NumPrompts => {
                            if num_prompts__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numPrompts"));
                            }
                            num_prompts__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(BatchPlace {
                    batch: batch__.unwrap_or_default(),
                    line_number: line_number__.unwrap_or_default(),
                    prompt_index: prompt_index__.unwrap_or_default(),
                    num_prompts: num_prompts__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.BatchPlace", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for BatchProgressed {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.batch.is_empty() {
            len += 1;
        }
        if self.counts.is_some() {
            len += 1;
        }
        if self.in_progress_at_unix_nanos != 0 {
            len += 1;
        }
        if self.finalizing_at_unix_nanos != 0 {
            len += 1;
        }
        if self.num_lines_over != 0 {
            len += 1;
        }
        if self.num_lines_over_failed != 0 {
            len += 1;
        }
        if self.outcome != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.BatchProgressed", len)?;
        if !self.batch.is_empty() {
            struct_ser.serialize_field("batch", &self.batch)?;
        }
        if let Some(v) = self.counts.as_ref() {
            struct_ser.serialize_field("counts", v)?;
        }
        if self.in_progress_at_unix_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("in_progress_at_unix_nanos", ToString::to_string(&self.in_progress_at_unix_nanos).as_str())?;
        }
        if self.finalizing_at_unix_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("finalizing_at_unix_nanos", ToString::to_string(&self.finalizing_at_unix_nanos).as_str())?;
        }
        if self.num_lines_over != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("num_lines_over", ToString::to_string(&self.num_lines_over).as_str())?;
        }
        if self.num_lines_over_failed != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("num_lines_over_failed", ToString::to_string(&self.num_lines_over_failed).as_str())?;
        }
        if self.outcome != 0 {
            let v = BatchOutcome::try_from(self.outcome)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.outcome)))?;
            struct_ser.serialize_field("outcome", &v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for BatchProgressed {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "batch",
            "counts",
            "in_progress_at_unix_nanos",
            "inProgressAtUnixNanos",
            "finalizing_at_unix_nanos",
            "finalizingAtUnixNanos",
            "num_lines_over",
            "numLinesOver",
            "num_lines_over_failed",
            "numLinesOverFailed",
            "outcome",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Batch,
            Counts,
            InProgressAtUnixNanos,
            FinalizingAtUnixNanos,
            NumLinesOver,
            NumLinesOverFailed,
            Outcome,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "batch" => Ok(GeneratedField::Batch),
                            "counts" => Ok(GeneratedField::Counts),
                            "inProgressAtUnixNanos" | "in_progress_at_unix_nanos" => Ok(GeneratedField::InProgressAtUnixNanos),
                            "finalizingAtUnixNanos" | "finalizing_at_unix_nanos" => Ok(GeneratedField::FinalizingAtUnixNanos),
                            "numLinesOver" | "num_lines_over" => Ok(GeneratedField::NumLinesOver),
                            "numLinesOverFailed" | "num_lines_over_failed" => Ok(GeneratedField::NumLinesOverFailed),
                            "outcome" => Ok(GeneratedField::Outcome),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = BatchProgressed;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.BatchProgressed")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<BatchProgressed, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut batch__ = None;
                let mut counts__ = None;
                let mut in_progress_at_unix_nanos__ = None;
                let mut finalizing_at_unix_nanos__ = None;
                let mut num_lines_over__ = None;
                let mut num_lines_over_failed__ = None;
                let mut outcome__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Batch => {
                            if batch__.is_some() {
                                return Err(serde::de::Error::duplicate_field("batch"));
                            }
                            batch__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Counts => {
                            if counts__.is_some() {
                                return Err(serde::de::Error::duplicate_field("counts"));
                            }
                            counts__ = map_.next_value()?;
                        }
                        GeneratedField::InProgressAtUnixNanos => {
                            if in_progress_at_unix_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("inProgressAtUnixNanos"));
                            }
                            in_progress_at_unix_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::FinalizingAtUnixNanos => {
                            if finalizing_at_unix_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("finalizingAtUnixNanos"));
                            }
                            finalizing_at_unix_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NumLinesOver => {
                            if num_lines_over__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numLinesOver"));
                            }
                            num_lines_over__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NumLinesOverFailed => {
                            if num_lines_over_failed__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numLinesOverFailed"));
                            }
                            num_lines_over_failed__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Outcome => {
                            if outcome__.is_some() {
                                return Err(serde::de::Error::duplicate_field("outcome"));
                            }
                            outcome__ = Some(map_.next_value::<BatchOutcome>()? as i32);
                        }
                    }
                }
                Ok(BatchProgressed {
                    batch: batch__.unwrap_or_default(),
                    counts: counts__,
                    in_progress_at_unix_nanos: in_progress_at_unix_nanos__.unwrap_or_default(),
                    finalizing_at_unix_nanos: finalizing_at_unix_nanos__.unwrap_or_default(),
                    num_lines_over: num_lines_over__.unwrap_or_default(),
                    num_lines_over_failed: num_lines_over_failed__.unwrap_or_default(),
                    outcome: outcome__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.BatchProgressed", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for CancelRequested {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.reason.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.CancelRequested", len)?;
        if !self.reason.is_empty() {
            struct_ser.serialize_field("reason", &self.reason)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for CancelRequested {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "reason",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Reason,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "reason" => Ok(GeneratedField::Reason),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = CancelRequested;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.CancelRequested")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<CancelRequested, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut reason__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Reason => {
                            if reason__.is_some() {
                                return Err(serde::de::Error::duplicate_field("reason"));
                            }
                            reason__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(CancelRequested {
                    reason: reason__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.CancelRequested", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for ChatPrompt {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.messages_json.is_empty() {
            len += 1;
        }
        if !self.tools_json.is_empty() {
            len += 1;
        }
        if !self.template_kwargs_json.is_empty() {
            len += 1;
        }
        if self.add_generation_prompt {
            len += 1;
        }
        if self.continue_final_message {
            len += 1;
        }
        if !self.tool_choice.is_empty() {
            len += 1;
        }
        if self.single_tool_call {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.ChatPrompt", len)?;
        if !self.messages_json.is_empty() {
            struct_ser.serialize_field("messages_json", &self.messages_json)?;
        }
        if !self.tools_json.is_empty() {
            struct_ser.serialize_field("tools_json", &self.tools_json)?;
        }
        if !self.template_kwargs_json.is_empty() {
            struct_ser.serialize_field("template_kwargs_json", &self.template_kwargs_json)?;
        }
        if self.add_generation_prompt {
            struct_ser.serialize_field("add_generation_prompt", &self.add_generation_prompt)?;
        }
        if self.continue_final_message {
            struct_ser.serialize_field("continue_final_message", &self.continue_final_message)?;
        }
        if !self.tool_choice.is_empty() {
            struct_ser.serialize_field("tool_choice", &self.tool_choice)?;
        }
        if self.single_tool_call {
            struct_ser.serialize_field("single_tool_call", &self.single_tool_call)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for ChatPrompt {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "messages_json",
            "messagesJson",
            "tools_json",
            "toolsJson",
            "template_kwargs_json",
            "templateKwargsJson",
            "add_generation_prompt",
            "addGenerationPrompt",
            "continue_final_message",
            "continueFinalMessage",
            "tool_choice",
            "toolChoice",
            "single_tool_call",
            "singleToolCall",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            MessagesJson,
            ToolsJson,
            TemplateKwargsJson,
            AddGenerationPrompt,
            ContinueFinalMessage,
            ToolChoice,
            SingleToolCall,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "messagesJson" | "messages_json" => Ok(GeneratedField::MessagesJson),
                            "toolsJson" | "tools_json" => Ok(GeneratedField::ToolsJson),
                            "templateKwargsJson" | "template_kwargs_json" => Ok(GeneratedField::TemplateKwargsJson),
                            "addGenerationPrompt" | "add_generation_prompt" => Ok(GeneratedField::AddGenerationPrompt),
                            "continueFinalMessage" | "continue_final_message" => Ok(GeneratedField::ContinueFinalMessage),
                            "toolChoice" | "tool_choice" => Ok(GeneratedField::ToolChoice),
                            "singleToolCall" | "single_tool_call" => Ok(GeneratedField::SingleToolCall),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = ChatPrompt;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.ChatPrompt")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<ChatPrompt, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut messages_json__ = None;
                let mut tools_json__ = None;
                let mut template_kwargs_json__ = None;
                let mut add_generation_prompt__ = None;
                let mut continue_final_message__ = None;
                let mut tool_choice__ = None;
                let mut single_tool_call__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::MessagesJson => {
                            if messages_json__.is_some() {
                                return Err(serde::de::Error::duplicate_field("messagesJson"));
                            }
                            messages_json__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ToolsJson => {
                            if tools_json__.is_some() {
                                return Err(serde::de::Error::duplicate_field("toolsJson"));
                            }
                            tools_json__ = Some(map_.next_value()?);
                        }
                        GeneratedField::TemplateKwargsJson => {
                            if template_kwargs_json__.is_some() {
                                return Err(serde::de::Error::duplicate_field("templateKwargsJson"));
                            }
                            template_kwargs_json__ = Some(map_.next_value()?);
                        }
                        GeneratedField::AddGenerationPrompt => {
                            if add_generation_prompt__.is_some() {
                                return Err(serde::de::Error::duplicate_field("addGenerationPrompt"));
                            }
                            add_generation_prompt__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ContinueFinalMessage => {
                            if continue_final_message__.is_some() {
                                return Err(serde::de::Error::duplicate_field("continueFinalMessage"));
                            }
                            continue_final_message__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ToolChoice => {
                            if tool_choice__.is_some() {
                                return Err(serde::de::Error::duplicate_field("toolChoice"));
                            }
                            tool_choice__ = Some(map_.next_value()?);
                        }
                        GeneratedField::SingleToolCall => {
                            if single_tool_call__.is_some() {
                                return Err(serde::de::Error::duplicate_field("singleToolCall"));
                            }
                            single_tool_call__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(ChatPrompt {
                    messages_json: messages_json__.unwrap_or_default(),
                    tools_json: tools_json__.unwrap_or_default(),
                    template_kwargs_json: template_kwargs_json__.unwrap_or_default(),
                    add_generation_prompt: add_generation_prompt__.unwrap_or_default(),
                    continue_final_message: continue_final_message__.unwrap_or_default(),
                    tool_choice: tool_choice__.unwrap_or_default(),
                    single_tool_call: single_tool_call__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.ChatPrompt", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for CheckVerdict {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.check.is_empty() {
            len += 1;
        }
        if self.allowed {
            len += 1;
        }
        if !self.reason.is_empty() {
            len += 1;
        }
        if self.took_nanos != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.CheckVerdict", len)?;
        if !self.check.is_empty() {
            struct_ser.serialize_field("check", &self.check)?;
        }
        if self.allowed {
            struct_ser.serialize_field("allowed", &self.allowed)?;
        }
        if !self.reason.is_empty() {
            struct_ser.serialize_field("reason", &self.reason)?;
        }
        if self.took_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("took_nanos", ToString::to_string(&self.took_nanos).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for CheckVerdict {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "check",
            "allowed",
            "reason",
            "took_nanos",
            "tookNanos",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Check,
            Allowed,
            Reason,
            TookNanos,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "check" => Ok(GeneratedField::Check),
                            "allowed" => Ok(GeneratedField::Allowed),
                            "reason" => Ok(GeneratedField::Reason),
                            "tookNanos" | "took_nanos" => Ok(GeneratedField::TookNanos),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = CheckVerdict;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.CheckVerdict")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<CheckVerdict, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut check__ = None;
                let mut allowed__ = None;
                let mut reason__ = None;
                let mut took_nanos__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Check => {
                            if check__.is_some() {
                                return Err(serde::de::Error::duplicate_field("check"));
                            }
                            check__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Allowed => {
                            if allowed__.is_some() {
                                return Err(serde::de::Error::duplicate_field("allowed"));
                            }
                            allowed__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Reason => {
                            if reason__.is_some() {
                                return Err(serde::de::Error::duplicate_field("reason"));
                            }
                            reason__ = Some(map_.next_value()?);
                        }
                        GeneratedField::TookNanos => {
                            if took_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("tookNanos"));
                            }
                            took_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(CheckVerdict {
                    check: check__.unwrap_or_default(),
                    allowed: allowed__.unwrap_or_default(),
                    reason: reason__.unwrap_or_default(),
                    took_nanos: took_nanos__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.CheckVerdict", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for CheckpointSigned {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.number != 0 {
            len += 1;
        }
        if self.tree_size != 0 {
            len += 1;
        }
        if self.last_sequence != 0 {
            len += 1;
        }
        if self.signed_at_unix_nanos != 0 {
            len += 1;
        }
        if !self.root_hash.is_empty() {
            len += 1;
        }
        if !self.signature.is_empty() {
            len += 1;
        }
        if !self.public_key.is_empty() {
            len += 1;
        }
        if !self.subtrees.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.CheckpointSigned", len)?;
        if self.number != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("number", ToString::to_string(&self.number).as_str())?;
        }
        if self.tree_size != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("tree_size", ToString::to_string(&self.tree_size).as_str())?;
        }
        if self.last_sequence != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("last_sequence", ToString::to_string(&self.last_sequence).as_str())?;
        }
        if self.signed_at_unix_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("signed_at_unix_nanos", ToString::to_string(&self.signed_at_unix_nanos).as_str())?;
        }
        if !self.root_hash.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("root_hash", pbjson::private::base64::encode(&self.root_hash).as_str())?;
        }
        if !self.signature.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("signature", pbjson::private::base64::encode(&self.signature).as_str())?;
        }
        if !self.public_key.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("public_key", pbjson::private::base64::encode(&self.public_key).as_str())?;
        }
        if !self.subtrees.is_empty() {
            struct_ser.serialize_field("subtrees", &self.subtrees.iter().map(pbjson::private::base64::encode).collect::<Vec<_>>())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for CheckpointSigned {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "number",
            "tree_size",
            "treeSize",
            "last_sequence",
            "lastSequence",
            "signed_at_unix_nanos",
            "signedAtUnixNanos",
            "root_hash",
            "rootHash",
            "signature",
            "public_key",
            "publicKey",
            "subtrees",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Number,
            TreeSize,
            LastSequence,
            SignedAtUnixNanos,
            RootHash,
            Signature,
            PublicKey,
            Subtrees,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "number" => Ok(GeneratedField::Number),
                            "treeSize" | "tree_size" => Ok(GeneratedField::TreeSize),
                            "lastSequence" | "last_sequence" => Ok(GeneratedField::LastSequence),
                            "signedAtUnixNanos" | "signed_at_unix_nanos" => Ok(GeneratedField::SignedAtUnixNanos),
                            "rootHash" | "root_hash" => Ok(GeneratedField::RootHash),
                            "signature" => Ok(GeneratedField::Signature),
                            "publicKey" | "public_key" => Ok(GeneratedField::PublicKey),
                            "subtrees" => Ok(GeneratedField::Subtrees),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = CheckpointSigned;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.CheckpointSigned")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<CheckpointSigned, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut number__ = None;
                let mut tree_size__ = None;
                let mut last_sequence__ = None;
                let mut signed_at_unix_nanos__ = None;
                let mut root_hash__ = None;
                let mut signature__ = None;
                let mut public_key__ = None;
                let mut subtrees__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Number => {
                            if number__.is_some() {
                                return Err(serde::de::Error::duplicate_field("number"));
                            }
                            number__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::TreeSize => {
                            if tree_size__.is_some() {
                                return Err(serde::de::Error::duplicate_field("treeSize"));
                            }
                            tree_size__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::LastSequence => {
                            if last_sequence__.is_some() {
                                return Err(serde::de::Error::duplicate_field("lastSequence"));
                            }
                            last_sequence__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::SignedAtUnixNanos => {
                            if signed_at_unix_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("signedAtUnixNanos"));
                            }
                            signed_at_unix_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::RootHash => {
                            if root_hash__.is_some() {
                                return Err(serde::de::Error::duplicate_field("rootHash"));
                            }
                            root_hash__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Signature => {
                            if signature__.is_some() {
                                return Err(serde::de::Error::duplicate_field("signature"));
                            }
                            signature__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::PublicKey => {
                            if public_key__.is_some() {
                                return Err(serde::de::Error::duplicate_field("publicKey"));
                            }
                            public_key__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Subtrees => {
                            if subtrees__.is_some() {
                                return Err(serde::de::Error::duplicate_field("subtrees"));
                            }
                            subtrees__ = 
                                Some(map_.next_value::<Vec<::pbjson::private::BytesDeserialize<_>>>()?
                                    .into_iter().map(|x| x.0).collect())
                            ;
                        }
                    }
                }
                Ok(CheckpointSigned {
                    number: number__.unwrap_or_default(),
                    tree_size: tree_size__.unwrap_or_default(),
                    last_sequence: last_sequence__.unwrap_or_default(),
                    signed_at_unix_nanos: signed_at_unix_nanos__.unwrap_or_default(),
                    root_hash: root_hash__.unwrap_or_default(),
                    signature: signature__.unwrap_or_default(),
                    public_key: public_key__.unwrap_or_default(),
                    subtrees: subtrees__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.CheckpointSigned", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Choice {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.index != 0 {
            len += 1;
        }
        if !self.text.is_empty() {
            len += 1;
        }
        if !self.token_ids.is_empty() {
            len += 1;
        }
        if self.finish_reason != 0 {
            len += 1;
        }
        if !self.stop_reason.is_empty() {
            len += 1;
        }
        if !self.reasoning.is_empty() {
            len += 1;
        }
        if !self.tool_calls.is_empty() {
            len += 1;
        }
        if !self.logprobs.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Choice", len)?;
        if self.index != 0 {
            struct_ser.serialize_field("index", &self.index)?;
        }
        if !self.text.is_empty() {
            struct_ser.serialize_field("text", &self.text)?;
        }
        if !self.token_ids.is_empty() {
            struct_ser.serialize_field("token_ids", &self.token_ids)?;
        }
        if self.finish_reason != 0 {
            let v = FinishReason::try_from(self.finish_reason)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.finish_reason)))?;
            struct_ser.serialize_field("finish_reason", &v)?;
        }
        if !self.stop_reason.is_empty() {
            struct_ser.serialize_field("stop_reason", &self.stop_reason)?;
        }
        if !self.reasoning.is_empty() {
            struct_ser.serialize_field("reasoning", &self.reasoning)?;
        }
        if !self.tool_calls.is_empty() {
            struct_ser.serialize_field("tool_calls", &self.tool_calls)?;
        }
        if !self.logprobs.is_empty() {
            struct_ser.serialize_field("logprobs", &self.logprobs)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Choice {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "index",
            "text",
            "token_ids",
            "tokenIds",
            "finish_reason",
            "finishReason",
            "stop_reason",
            "stopReason",
            "reasoning",
            "tool_calls",
            "toolCalls",
            "logprobs",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Index,
            Text,
            TokenIds,
            FinishReason,
            StopReason,
            Reasoning,
            ToolCalls,
            Logprobs,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "index" => Ok(GeneratedField::Index),
                            "text" => Ok(GeneratedField::Text),
                            "tokenIds" | "token_ids" => Ok(GeneratedField::TokenIds),
                            "finishReason" | "finish_reason" => Ok(GeneratedField::FinishReason),
                            "stopReason" | "stop_reason" => Ok(GeneratedField::StopReason),
                            "reasoning" => Ok(GeneratedField::Reasoning),
                            "toolCalls" | "tool_calls" => Ok(GeneratedField::ToolCalls),
                            "logprobs" => Ok(GeneratedField::Logprobs),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Choice;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Choice")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Choice, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut index__ = None;
                let mut text__ = None;
                let mut token_ids__ = None;
                let mut finish_reason__ = None;
                let mut stop_reason__ = None;
                let mut reasoning__ = None;
                let mut tool_calls__ = None;
                let mut logprobs__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Index => {
                            if index__.is_some() {
                                return Err(serde::de::Error::duplicate_field("index"));
                            }
                            index__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Text => {
                            if text__.is_some() {
                                return Err(serde::de::Error::duplicate_field("text"));
                            }
                            text__ = Some(map_.next_value()?);
                        }
                        GeneratedField::TokenIds => {
                            if token_ids__.is_some() {
                                return Err(serde::de::Error::duplicate_field("tokenIds"));
                            }
                            token_ids__ = 
                                Some(map_.next_value::<Vec<::pbjson::private::NumberDeserialize<_>>>()?
                                    .into_iter().map(|x| x.0).collect())
                            ;
                        }
                        GeneratedField::FinishReason => {
                            if finish_reason__.is_some() {
                                return Err(serde::de::Error::duplicate_field("finishReason"));
                            }
                            finish_reason__ = Some(map_.next_value::<FinishReason>()? as i32);
                        }
                        GeneratedField::StopReason => {
                            if stop_reason__.is_some() {
                                return Err(serde::de::Error::duplicate_field("stopReason"));
                            }
                            stop_reason__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Reasoning => {
                            if reasoning__.is_some() {
                                return Err(serde::de::Error::duplicate_field("reasoning"));
                            }
                            reasoning__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ToolCalls => {
                            if tool_calls__.is_some() {
                                return Err(serde::de::Error::duplicate_field("toolCalls"));
                            }
                            tool_calls__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Logprobs => {
                            if logprobs__.is_some() {
                                return Err(serde::de::Error::duplicate_field("logprobs"));
                            }
                            logprobs__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(Choice {
                    index: index__.unwrap_or_default(),
                    text: text__.unwrap_or_default(),
                    token_ids: token_ids__.unwrap_or_default(),
                    finish_reason: finish_reason__.unwrap_or_default(),
                    stop_reason: stop_reason__.unwrap_or_default(),
                    reasoning: reasoning__.unwrap_or_default(),
                    tool_calls: tool_calls__.unwrap_or_default(),
                    logprobs: logprobs__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Choice", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for ConfigurationRecorded {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.version.is_empty() {
            len += 1;
        }
        if !self.json.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.ConfigurationRecorded", len)?;
        if !self.version.is_empty() {
            struct_ser.serialize_field("version", &self.version)?;
        }
        if !self.json.is_empty() {
            struct_ser.serialize_field("json", &self.json)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for ConfigurationRecorded {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "version",
            "json",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Version,
            Json,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "version" => Ok(GeneratedField::Version),
                            "json" => Ok(GeneratedField::Json),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = ConfigurationRecorded;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.ConfigurationRecorded")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<ConfigurationRecorded, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut version__ = None;
                let mut json__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Version => {
                            if version__.is_some() {
                                return Err(serde::de::Error::duplicate_field("version"));
                            }
                            version__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Json => {
                            if json__.is_some() {
                                return Err(serde::de::Error::duplicate_field("json"));
                            }
                            json__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(ConfigurationRecorded {
                    version: version__.unwrap_or_default(),
                    json: json__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.ConfigurationRecorded", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for ContentErased {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.caller.is_empty() {
            len += 1;
        }
        if !self.tenant.is_empty() {
            len += 1;
        }
        if !self.inference_id.is_empty() {
            len += 1;
        }
        if !self.end_user.is_empty() {
            len += 1;
        }
        if self.num_keys != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.ContentErased", len)?;
        if !self.caller.is_empty() {
            struct_ser.serialize_field("caller", &self.caller)?;
        }
        if !self.tenant.is_empty() {
            struct_ser.serialize_field("tenant", &self.tenant)?;
        }
        if !self.inference_id.is_empty() {
            struct_ser.serialize_field("inference_id", &self.inference_id)?;
        }
        if !self.end_user.is_empty() {
            struct_ser.serialize_field("end_user", &self.end_user)?;
        }
        if self.num_keys != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("num_keys", ToString::to_string(&self.num_keys).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for ContentErased {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "caller",
            "tenant",
            "inference_id",
            "inferenceId",
            "end_user",
            "endUser",
            "num_keys",
            "numKeys",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Caller,
            Tenant,
            InferenceId,
            EndUser,
            NumKeys,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "caller" => Ok(GeneratedField::Caller),
                            "tenant" => Ok(GeneratedField::Tenant),
                            "inferenceId" | "inference_id" => Ok(GeneratedField::InferenceId),
                            "endUser" | "end_user" => Ok(GeneratedField::EndUser),
                            "numKeys" | "num_keys" => Ok(GeneratedField::NumKeys),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = ContentErased;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.ContentErased")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<ContentErased, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut caller__ = None;
                let mut tenant__ = None;
                let mut inference_id__ = None;
                let mut end_user__ = None;
                let mut num_keys__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Caller => {
                            if caller__.is_some() {
                                return Err(serde::de::Error::duplicate_field("caller"));
                            }
                            caller__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Tenant => {
                            if tenant__.is_some() {
                                return Err(serde::de::Error::duplicate_field("tenant"));
                            }
                            tenant__ = Some(map_.next_value()?);
                        }
                        GeneratedField::InferenceId => {
                            if inference_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("inferenceId"));
                            }
                            inference_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::EndUser => {
                            if end_user__.is_some() {
                                return Err(serde::de::Error::duplicate_field("endUser"));
                            }
                            end_user__ = Some(map_.next_value()?);
                        }
                        GeneratedField::NumKeys => {
                            if num_keys__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numKeys"));
                            }
                            num_keys__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(ContentErased {
                    caller: caller__.unwrap_or_default(),
                    tenant: tenant__.unwrap_or_default(),
                    inference_id: inference_id__.unwrap_or_default(),
                    end_user: end_user__.unwrap_or_default(),
                    num_keys: num_keys__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.ContentErased", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for ContentKey {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.key.is_empty() {
            len += 1;
        }
        if !self.nonce.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.ContentKey", len)?;
        if !self.key.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("key", pbjson::private::base64::encode(&self.key).as_str())?;
        }
        if !self.nonce.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("nonce", pbjson::private::base64::encode(&self.nonce).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for ContentKey {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "key",
            "nonce",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Key,
            Nonce,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "key" => Ok(GeneratedField::Key),
                            "nonce" => Ok(GeneratedField::Nonce),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = ContentKey;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.ContentKey")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<ContentKey, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut key__ = None;
                let mut nonce__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Key => {
                            if key__.is_some() {
                                return Err(serde::de::Error::duplicate_field("key"));
                            }
                            key__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Nonce => {
                            if nonce__.is_some() {
                                return Err(serde::de::Error::duplicate_field("nonce"));
                            }
                            nonce__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(ContentKey {
                    key: key__.unwrap_or_default(),
                    nonce: nonce__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.ContentKey", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for ControlEnvelope {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.schema_version != 0 {
            len += 1;
        }
        if !self.event_id.is_empty() {
            len += 1;
        }
        if self.recorded_at_unix_nanos != 0 {
            len += 1;
        }
        if !self.recorded_by.is_empty() {
            len += 1;
        }
        if self.fact.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.ControlEnvelope", len)?;
        if self.schema_version != 0 {
            struct_ser.serialize_field("schema_version", &self.schema_version)?;
        }
        if !self.event_id.is_empty() {
            struct_ser.serialize_field("event_id", &self.event_id)?;
        }
        if self.recorded_at_unix_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("recorded_at_unix_nanos", ToString::to_string(&self.recorded_at_unix_nanos).as_str())?;
        }
        if !self.recorded_by.is_empty() {
            struct_ser.serialize_field("recorded_by", &self.recorded_by)?;
        }
        if let Some(v) = self.fact.as_ref() {
            match v {
                control_envelope::Fact::DeploymentAnnounced(v) => {
                    struct_ser.serialize_field("deployment_announced", v)?;
                }
                control_envelope::Fact::DeploymentWithdrawn(v) => {
                    struct_ser.serialize_field("deployment_withdrawn", v)?;
                }
                control_envelope::Fact::ConfigurationRecorded(v) => {
                    struct_ser.serialize_field("configuration_recorded", v)?;
                }
            }
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for ControlEnvelope {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "schema_version",
            "schemaVersion",
            "event_id",
            "eventId",
            "recorded_at_unix_nanos",
            "recordedAtUnixNanos",
            "recorded_by",
            "recordedBy",
            "deployment_announced",
            "deploymentAnnounced",
            "deployment_withdrawn",
            "deploymentWithdrawn",
            "configuration_recorded",
            "configurationRecorded",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            SchemaVersion,
            EventId,
            RecordedAtUnixNanos,
            RecordedBy,
            DeploymentAnnounced,
            DeploymentWithdrawn,
            ConfigurationRecorded,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "schemaVersion" | "schema_version" => Ok(GeneratedField::SchemaVersion),
                            "eventId" | "event_id" => Ok(GeneratedField::EventId),
                            "recordedAtUnixNanos" | "recorded_at_unix_nanos" => Ok(GeneratedField::RecordedAtUnixNanos),
                            "recordedBy" | "recorded_by" => Ok(GeneratedField::RecordedBy),
                            "deploymentAnnounced" | "deployment_announced" => Ok(GeneratedField::DeploymentAnnounced),
                            "deploymentWithdrawn" | "deployment_withdrawn" => Ok(GeneratedField::DeploymentWithdrawn),
                            "configurationRecorded" | "configuration_recorded" => Ok(GeneratedField::ConfigurationRecorded),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = ControlEnvelope;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.ControlEnvelope")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<ControlEnvelope, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut schema_version__ = None;
                let mut event_id__ = None;
                let mut recorded_at_unix_nanos__ = None;
                let mut recorded_by__ = None;
                let mut fact__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::SchemaVersion => {
                            if schema_version__.is_some() {
                                return Err(serde::de::Error::duplicate_field("schemaVersion"));
                            }
                            schema_version__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::EventId => {
                            if event_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("eventId"));
                            }
                            event_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::RecordedAtUnixNanos => {
                            if recorded_at_unix_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("recordedAtUnixNanos"));
                            }
                            recorded_at_unix_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::RecordedBy => {
                            if recorded_by__.is_some() {
                                return Err(serde::de::Error::duplicate_field("recordedBy"));
                            }
                            recorded_by__ = Some(map_.next_value()?);
                        }
                        GeneratedField::DeploymentAnnounced => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("deploymentAnnounced"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(control_envelope::Fact::DeploymentAnnounced)
;
                        }
                        GeneratedField::DeploymentWithdrawn => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("deploymentWithdrawn"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(control_envelope::Fact::DeploymentWithdrawn)
;
                        }
                        GeneratedField::ConfigurationRecorded => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("configurationRecorded"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(control_envelope::Fact::ConfigurationRecorded)
;
                        }
                    }
                }
                Ok(ControlEnvelope {
                    schema_version: schema_version__.unwrap_or_default(),
                    event_id: event_id__.unwrap_or_default(),
                    recorded_at_unix_nanos: recorded_at_unix_nanos__.unwrap_or_default(),
                    recorded_by: recorded_by__.unwrap_or_default(),
                    fact: fact__,
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.ControlEnvelope", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Cost {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.currency.is_empty() {
            len += 1;
        }
        if self.nanos != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Cost", len)?;
        if !self.currency.is_empty() {
            struct_ser.serialize_field("currency", &self.currency)?;
        }
        if self.nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("nanos", ToString::to_string(&self.nanos).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Cost {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "currency",
            "nanos",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Currency,
            Nanos,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "currency" => Ok(GeneratedField::Currency),
                            "nanos" => Ok(GeneratedField::Nanos),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Cost;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Cost")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Cost, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut currency__ = None;
                let mut nanos__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Currency => {
                            if currency__.is_some() {
                                return Err(serde::de::Error::duplicate_field("currency"));
                            }
                            currency__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Nanos => {
                            if nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("nanos"));
                            }
                            nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(Cost {
                    currency: currency__.unwrap_or_default(),
                    nanos: nanos__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Cost", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for DeploymentAnnounced {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.deployment.is_empty() {
            len += 1;
        }
        if !self.pool.is_empty() {
            len += 1;
        }
        if !self.model.is_empty() {
            len += 1;
        }
        if !self.aliases.is_empty() {
            len += 1;
        }
        if self.max_model_len_tokens != 0 {
            len += 1;
        }
        if self.num_slots != 0 {
            len += 1;
        }
        if !self.engine_fingerprint.is_empty() {
            len += 1;
        }
        if !self.model_digest.is_empty() {
            len += 1;
        }
        if self.vocab_size != 0 {
            len += 1;
        }
        if self.has_chat_template {
            len += 1;
        }
        if !self.tasks.is_empty() {
            len += 1;
        }
        if !self.adapters.is_empty() {
            len += 1;
        }
        if self.is_asleep {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.DeploymentAnnounced", len)?;
        if !self.deployment.is_empty() {
            struct_ser.serialize_field("deployment", &self.deployment)?;
        }
        if !self.pool.is_empty() {
            struct_ser.serialize_field("pool", &self.pool)?;
        }
        if !self.model.is_empty() {
            struct_ser.serialize_field("model", &self.model)?;
        }
        if !self.aliases.is_empty() {
            struct_ser.serialize_field("aliases", &self.aliases)?;
        }
        if self.max_model_len_tokens != 0 {
            struct_ser.serialize_field("max_model_len_tokens", &self.max_model_len_tokens)?;
        }
        if self.num_slots != 0 {
            struct_ser.serialize_field("num_slots", &self.num_slots)?;
        }
        if !self.engine_fingerprint.is_empty() {
            struct_ser.serialize_field("engine_fingerprint", &self.engine_fingerprint)?;
        }
        if !self.model_digest.is_empty() {
            struct_ser.serialize_field("model_digest", &self.model_digest)?;
        }
        if self.vocab_size != 0 {
            struct_ser.serialize_field("vocab_size", &self.vocab_size)?;
        }
        if self.has_chat_template {
            struct_ser.serialize_field("has_chat_template", &self.has_chat_template)?;
        }
        if !self.tasks.is_empty() {
            struct_ser.serialize_field("tasks", &self.tasks)?;
        }
        if !self.adapters.is_empty() {
            struct_ser.serialize_field("adapters", &self.adapters)?;
        }
        if self.is_asleep {
            struct_ser.serialize_field("is_asleep", &self.is_asleep)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for DeploymentAnnounced {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "deployment",
            "pool",
            "model",
            "aliases",
            "max_model_len_tokens",
            "maxModelLenTokens",
            "num_slots",
            "numSlots",
            "engine_fingerprint",
            "engineFingerprint",
            "model_digest",
            "modelDigest",
            "vocab_size",
            "vocabSize",
            "has_chat_template",
            "hasChatTemplate",
            "tasks",
            "adapters",
            "is_asleep",
            "isAsleep",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Deployment,
            Pool,
            Model,
            Aliases,
            MaxModelLenTokens,
            NumSlots,
            EngineFingerprint,
            ModelDigest,
            VocabSize,
            HasChatTemplate,
            Tasks,
            Adapters,
            IsAsleep,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "deployment" => Ok(GeneratedField::Deployment),
                            "pool" => Ok(GeneratedField::Pool),
                            "model" => Ok(GeneratedField::Model),
                            "aliases" => Ok(GeneratedField::Aliases),
                            "maxModelLenTokens" | "max_model_len_tokens" => Ok(GeneratedField::MaxModelLenTokens),
                            "numSlots" | "num_slots" => Ok(GeneratedField::NumSlots),
                            "engineFingerprint" | "engine_fingerprint" => Ok(GeneratedField::EngineFingerprint),
                            "modelDigest" | "model_digest" => Ok(GeneratedField::ModelDigest),
                            "vocabSize" | "vocab_size" => Ok(GeneratedField::VocabSize),
                            "hasChatTemplate" | "has_chat_template" => Ok(GeneratedField::HasChatTemplate),
                            "tasks" => Ok(GeneratedField::Tasks),
                            "adapters" => Ok(GeneratedField::Adapters),
                            "isAsleep" | "is_asleep" => Ok(GeneratedField::IsAsleep),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = DeploymentAnnounced;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.DeploymentAnnounced")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<DeploymentAnnounced, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut deployment__ = None;
                let mut pool__ = None;
                let mut model__ = None;
                let mut aliases__ = None;
                let mut max_model_len_tokens__ = None;
                let mut num_slots__ = None;
                let mut engine_fingerprint__ = None;
                let mut model_digest__ = None;
                let mut vocab_size__ = None;
                let mut has_chat_template__ = None;
                let mut tasks__ = None;
                let mut adapters__ = None;
                let mut is_asleep__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Deployment => {
                            if deployment__.is_some() {
                                return Err(serde::de::Error::duplicate_field("deployment"));
                            }
                            deployment__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Pool => {
                            if pool__.is_some() {
                                return Err(serde::de::Error::duplicate_field("pool"));
                            }
                            pool__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Model => {
                            if model__.is_some() {
                                return Err(serde::de::Error::duplicate_field("model"));
                            }
                            model__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Aliases => {
                            if aliases__.is_some() {
                                return Err(serde::de::Error::duplicate_field("aliases"));
                            }
                            aliases__ = Some(map_.next_value()?);
                        }
                        GeneratedField::MaxModelLenTokens => {
                            if max_model_len_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("maxModelLenTokens"));
                            }
                            max_model_len_tokens__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NumSlots => {
                            if num_slots__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numSlots"));
                            }
                            num_slots__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::EngineFingerprint => {
                            if engine_fingerprint__.is_some() {
                                return Err(serde::de::Error::duplicate_field("engineFingerprint"));
                            }
                            engine_fingerprint__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ModelDigest => {
                            if model_digest__.is_some() {
                                return Err(serde::de::Error::duplicate_field("modelDigest"));
                            }
                            model_digest__ = Some(map_.next_value()?);
                        }
                        GeneratedField::VocabSize => {
                            if vocab_size__.is_some() {
                                return Err(serde::de::Error::duplicate_field("vocabSize"));
                            }
                            vocab_size__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::HasChatTemplate => {
                            if has_chat_template__.is_some() {
                                return Err(serde::de::Error::duplicate_field("hasChatTemplate"));
                            }
                            has_chat_template__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Tasks => {
                            if tasks__.is_some() {
                                return Err(serde::de::Error::duplicate_field("tasks"));
                            }
                            tasks__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Adapters => {
                            if adapters__.is_some() {
                                return Err(serde::de::Error::duplicate_field("adapters"));
                            }
                            adapters__ = Some(map_.next_value()?);
                        }
                        GeneratedField::IsAsleep => {
                            if is_asleep__.is_some() {
                                return Err(serde::de::Error::duplicate_field("isAsleep"));
                            }
                            is_asleep__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(DeploymentAnnounced {
                    deployment: deployment__.unwrap_or_default(),
                    pool: pool__.unwrap_or_default(),
                    model: model__.unwrap_or_default(),
                    aliases: aliases__.unwrap_or_default(),
                    max_model_len_tokens: max_model_len_tokens__.unwrap_or_default(),
                    num_slots: num_slots__.unwrap_or_default(),
                    engine_fingerprint: engine_fingerprint__.unwrap_or_default(),
                    model_digest: model_digest__.unwrap_or_default(),
                    vocab_size: vocab_size__.unwrap_or_default(),
                    has_chat_template: has_chat_template__.unwrap_or_default(),
                    tasks: tasks__.unwrap_or_default(),
                    adapters: adapters__.unwrap_or_default(),
                    is_asleep: is_asleep__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.DeploymentAnnounced", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for DeploymentWithdrawn {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.deployment.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.DeploymentWithdrawn", len)?;
        if !self.deployment.is_empty() {
            struct_ser.serialize_field("deployment", &self.deployment)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for DeploymentWithdrawn {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "deployment",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Deployment,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "deployment" => Ok(GeneratedField::Deployment),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = DeploymentWithdrawn;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.DeploymentWithdrawn")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<DeploymentWithdrawn, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut deployment__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Deployment => {
                            if deployment__.is_some() {
                                return Err(serde::de::Error::duplicate_field("deployment"));
                            }
                            deployment__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(DeploymentWithdrawn {
                    deployment: deployment__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.DeploymentWithdrawn", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for End {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.outcome != 0 {
            len += 1;
        }
        if self.usage.is_some() {
            len += 1;
        }
        if self.failure.is_some() {
            len += 1;
        }
        if self.timings.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.End", len)?;
        if self.outcome != 0 {
            let v = Outcome::try_from(self.outcome)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.outcome)))?;
            struct_ser.serialize_field("outcome", &v)?;
        }
        if let Some(v) = self.usage.as_ref() {
            struct_ser.serialize_field("usage", v)?;
        }
        if let Some(v) = self.failure.as_ref() {
            struct_ser.serialize_field("failure", v)?;
        }
        if let Some(v) = self.timings.as_ref() {
            struct_ser.serialize_field("timings", v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for End {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "outcome",
            "usage",
            "failure",
            "timings",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Outcome,
            Usage,
            Failure,
            Timings,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "outcome" => Ok(GeneratedField::Outcome),
                            "usage" => Ok(GeneratedField::Usage),
                            "failure" => Ok(GeneratedField::Failure),
                            "timings" => Ok(GeneratedField::Timings),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = End;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.End")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<End, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut outcome__ = None;
                let mut usage__ = None;
                let mut failure__ = None;
                let mut timings__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Outcome => {
                            if outcome__.is_some() {
                                return Err(serde::de::Error::duplicate_field("outcome"));
                            }
                            outcome__ = Some(map_.next_value::<Outcome>()? as i32);
                        }
                        GeneratedField::Usage => {
                            if usage__.is_some() {
                                return Err(serde::de::Error::duplicate_field("usage"));
                            }
                            usage__ = map_.next_value()?;
                        }
                        GeneratedField::Failure => {
                            if failure__.is_some() {
                                return Err(serde::de::Error::duplicate_field("failure"));
                            }
                            failure__ = map_.next_value()?;
                        }
                        GeneratedField::Timings => {
                            if timings__.is_some() {
                                return Err(serde::de::Error::duplicate_field("timings"));
                            }
                            timings__ = map_.next_value()?;
                        }
                    }
                }
                Ok(End {
                    outcome: outcome__.unwrap_or_default(),
                    usage: usage__,
                    failure: failure__,
                    timings: timings__,
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.End", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Ended {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.outcome != 0 {
            len += 1;
        }
        if self.attempt != 0 {
            len += 1;
        }
        if !self.worker.is_empty() {
            len += 1;
        }
        if !self.choices.is_empty() {
            len += 1;
        }
        if self.usage.is_some() {
            len += 1;
        }
        if self.timings.is_some() {
            len += 1;
        }
        if self.failure.is_some() {
            len += 1;
        }
        if !self.engine_fingerprint.is_empty() {
            len += 1;
        }
        if !self.verdicts.is_empty() {
            len += 1;
        }
        if self.policy_version != 0 {
            len += 1;
        }
        if !self.pooled.is_empty() {
            len += 1;
        }
        if self.prompt.is_some() {
            len += 1;
        }
        if self.cost.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Ended", len)?;
        if self.outcome != 0 {
            let v = Outcome::try_from(self.outcome)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.outcome)))?;
            struct_ser.serialize_field("outcome", &v)?;
        }
        if self.attempt != 0 {
            struct_ser.serialize_field("attempt", &self.attempt)?;
        }
        if !self.worker.is_empty() {
            struct_ser.serialize_field("worker", &self.worker)?;
        }
        if !self.choices.is_empty() {
            struct_ser.serialize_field("choices", &self.choices)?;
        }
        if let Some(v) = self.usage.as_ref() {
            struct_ser.serialize_field("usage", v)?;
        }
        if let Some(v) = self.timings.as_ref() {
            struct_ser.serialize_field("timings", v)?;
        }
        if let Some(v) = self.failure.as_ref() {
            struct_ser.serialize_field("failure", v)?;
        }
        if !self.engine_fingerprint.is_empty() {
            struct_ser.serialize_field("engine_fingerprint", &self.engine_fingerprint)?;
        }
        if !self.verdicts.is_empty() {
            struct_ser.serialize_field("verdicts", &self.verdicts)?;
        }
        if self.policy_version != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("policy_version", ToString::to_string(&self.policy_version).as_str())?;
        }
        if !self.pooled.is_empty() {
            struct_ser.serialize_field("pooled", &self.pooled)?;
        }
        if let Some(v) = self.prompt.as_ref() {
            struct_ser.serialize_field("prompt", v)?;
        }
        if let Some(v) = self.cost.as_ref() {
            struct_ser.serialize_field("cost", v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Ended {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "outcome",
            "attempt",
            "worker",
            "choices",
            "usage",
            "timings",
            "failure",
            "engine_fingerprint",
            "engineFingerprint",
            "verdicts",
            "policy_version",
            "policyVersion",
            "pooled",
            "prompt",
            "cost",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Outcome,
            Attempt,
            Worker,
            Choices,
            Usage,
            Timings,
            Failure,
            EngineFingerprint,
            Verdicts,
            PolicyVersion,
            Pooled,
            Prompt,
            Cost,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "outcome" => Ok(GeneratedField::Outcome),
                            "attempt" => Ok(GeneratedField::Attempt),
                            "worker" => Ok(GeneratedField::Worker),
                            "choices" => Ok(GeneratedField::Choices),
                            "usage" => Ok(GeneratedField::Usage),
                            "timings" => Ok(GeneratedField::Timings),
                            "failure" => Ok(GeneratedField::Failure),
                            "engineFingerprint" | "engine_fingerprint" => Ok(GeneratedField::EngineFingerprint),
                            "verdicts" => Ok(GeneratedField::Verdicts),
                            "policyVersion" | "policy_version" => Ok(GeneratedField::PolicyVersion),
                            "pooled" => Ok(GeneratedField::Pooled),
                            "prompt" => Ok(GeneratedField::Prompt),
                            "cost" => Ok(GeneratedField::Cost),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Ended;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Ended")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Ended, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut outcome__ = None;
                let mut attempt__ = None;
                let mut worker__ = None;
                let mut choices__ = None;
                let mut usage__ = None;
                let mut timings__ = None;
                let mut failure__ = None;
                let mut engine_fingerprint__ = None;
                let mut verdicts__ = None;
                let mut policy_version__ = None;
                let mut pooled__ = None;
                let mut prompt__ = None;
                let mut cost__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Outcome => {
                            if outcome__.is_some() {
                                return Err(serde::de::Error::duplicate_field("outcome"));
                            }
                            outcome__ = Some(map_.next_value::<Outcome>()? as i32);
                        }
                        GeneratedField::Attempt => {
                            if attempt__.is_some() {
                                return Err(serde::de::Error::duplicate_field("attempt"));
                            }
                            attempt__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Worker => {
                            if worker__.is_some() {
                                return Err(serde::de::Error::duplicate_field("worker"));
                            }
                            worker__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Choices => {
                            if choices__.is_some() {
                                return Err(serde::de::Error::duplicate_field("choices"));
                            }
                            choices__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Usage => {
                            if usage__.is_some() {
                                return Err(serde::de::Error::duplicate_field("usage"));
                            }
                            usage__ = map_.next_value()?;
                        }
                        GeneratedField::Timings => {
                            if timings__.is_some() {
                                return Err(serde::de::Error::duplicate_field("timings"));
                            }
                            timings__ = map_.next_value()?;
                        }
                        GeneratedField::Failure => {
                            if failure__.is_some() {
                                return Err(serde::de::Error::duplicate_field("failure"));
                            }
                            failure__ = map_.next_value()?;
                        }
                        GeneratedField::EngineFingerprint => {
                            if engine_fingerprint__.is_some() {
                                return Err(serde::de::Error::duplicate_field("engineFingerprint"));
                            }
                            engine_fingerprint__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Verdicts => {
                            if verdicts__.is_some() {
                                return Err(serde::de::Error::duplicate_field("verdicts"));
                            }
                            verdicts__ = Some(map_.next_value()?);
                        }
                        GeneratedField::PolicyVersion => {
                            if policy_version__.is_some() {
                                return Err(serde::de::Error::duplicate_field("policyVersion"));
                            }
                            policy_version__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Pooled => {
                            if pooled__.is_some() {
                                return Err(serde::de::Error::duplicate_field("pooled"));
                            }
                            pooled__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Prompt => {
                            if prompt__.is_some() {
                                return Err(serde::de::Error::duplicate_field("prompt"));
                            }
                            prompt__ = map_.next_value()?;
                        }
                        GeneratedField::Cost => {
                            if cost__.is_some() {
                                return Err(serde::de::Error::duplicate_field("cost"));
                            }
                            cost__ = map_.next_value()?;
                        }
                    }
                }
                Ok(Ended {
                    outcome: outcome__.unwrap_or_default(),
                    attempt: attempt__.unwrap_or_default(),
                    worker: worker__.unwrap_or_default(),
                    choices: choices__.unwrap_or_default(),
                    usage: usage__,
                    timings: timings__,
                    failure: failure__,
                    engine_fingerprint: engine_fingerprint__.unwrap_or_default(),
                    verdicts: verdicts__.unwrap_or_default(),
                    policy_version: policy_version__.unwrap_or_default(),
                    pooled: pooled__.unwrap_or_default(),
                    prompt: prompt__,
                    cost: cost__,
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Ended", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Envelope {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.schema_version != 0 {
            len += 1;
        }
        if !self.event_id.is_empty() {
            len += 1;
        }
        if !self.inference_id.is_empty() {
            len += 1;
        }
        if !self.tenant.is_empty() {
            len += 1;
        }
        if self.recorded_at_unix_nanos != 0 {
            len += 1;
        }
        if !self.recorded_by.is_empty() {
            len += 1;
        }
        if !self.previous_hash.is_empty() {
            len += 1;
        }
        if self.sealed.is_some() {
            len += 1;
        }
        if !self.configuration.is_empty() {
            len += 1;
        }
        if self.fact.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Envelope", len)?;
        if self.schema_version != 0 {
            struct_ser.serialize_field("schema_version", &self.schema_version)?;
        }
        if !self.event_id.is_empty() {
            struct_ser.serialize_field("event_id", &self.event_id)?;
        }
        if !self.inference_id.is_empty() {
            struct_ser.serialize_field("inference_id", &self.inference_id)?;
        }
        if !self.tenant.is_empty() {
            struct_ser.serialize_field("tenant", &self.tenant)?;
        }
        if self.recorded_at_unix_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("recorded_at_unix_nanos", ToString::to_string(&self.recorded_at_unix_nanos).as_str())?;
        }
        if !self.recorded_by.is_empty() {
            struct_ser.serialize_field("recorded_by", &self.recorded_by)?;
        }
        if !self.previous_hash.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("previous_hash", pbjson::private::base64::encode(&self.previous_hash).as_str())?;
        }
        if let Some(v) = self.sealed.as_ref() {
            struct_ser.serialize_field("sealed", v)?;
        }
        if !self.configuration.is_empty() {
            struct_ser.serialize_field("configuration", &self.configuration)?;
        }
        if let Some(v) = self.fact.as_ref() {
            match v {
                envelope::Fact::Requested(v) => {
                    struct_ser.serialize_field("requested", v)?;
                }
                envelope::Fact::Admitted(v) => {
                    struct_ser.serialize_field("admitted", v)?;
                }
                envelope::Fact::Assigned(v) => {
                    struct_ser.serialize_field("assigned", v)?;
                }
                envelope::Fact::Started(v) => {
                    struct_ser.serialize_field("started", v)?;
                }
                envelope::Fact::AttemptFailed(v) => {
                    struct_ser.serialize_field("attempt_failed", v)?;
                }
                envelope::Fact::CancelRequested(v) => {
                    struct_ser.serialize_field("cancel_requested", v)?;
                }
                envelope::Fact::Ended(v) => {
                    struct_ser.serialize_field("ended", v)?;
                }
                envelope::Fact::WebhookRequested(v) => {
                    struct_ser.serialize_field("webhook_requested", v)?;
                }
            }
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Envelope {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "schema_version",
            "schemaVersion",
            "event_id",
            "eventId",
            "inference_id",
            "inferenceId",
            "tenant",
            "recorded_at_unix_nanos",
            "recordedAtUnixNanos",
            "recorded_by",
            "recordedBy",
            "previous_hash",
            "previousHash",
            "sealed",
            "configuration",
            "requested",
            "admitted",
            "assigned",
            "started",
            "attempt_failed",
            "attemptFailed",
            "cancel_requested",
            "cancelRequested",
            "ended",
            "webhook_requested",
            "webhookRequested",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            SchemaVersion,
            EventId,
            InferenceId,
            Tenant,
            RecordedAtUnixNanos,
            RecordedBy,
            PreviousHash,
            Sealed,
            Configuration,
            Requested,
            Admitted,
            Assigned,
            Started,
            AttemptFailed,
            CancelRequested,
            Ended,
            WebhookRequested,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "schemaVersion" | "schema_version" => Ok(GeneratedField::SchemaVersion),
                            "eventId" | "event_id" => Ok(GeneratedField::EventId),
                            "inferenceId" | "inference_id" => Ok(GeneratedField::InferenceId),
                            "tenant" => Ok(GeneratedField::Tenant),
                            "recordedAtUnixNanos" | "recorded_at_unix_nanos" => Ok(GeneratedField::RecordedAtUnixNanos),
                            "recordedBy" | "recorded_by" => Ok(GeneratedField::RecordedBy),
                            "previousHash" | "previous_hash" => Ok(GeneratedField::PreviousHash),
                            "sealed" => Ok(GeneratedField::Sealed),
                            "configuration" => Ok(GeneratedField::Configuration),
                            "requested" => Ok(GeneratedField::Requested),
                            "admitted" => Ok(GeneratedField::Admitted),
                            "assigned" => Ok(GeneratedField::Assigned),
                            "started" => Ok(GeneratedField::Started),
                            "attemptFailed" | "attempt_failed" => Ok(GeneratedField::AttemptFailed),
                            "cancelRequested" | "cancel_requested" => Ok(GeneratedField::CancelRequested),
                            "ended" => Ok(GeneratedField::Ended),
                            "webhookRequested" | "webhook_requested" => Ok(GeneratedField::WebhookRequested),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Envelope;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Envelope")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Envelope, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut schema_version__ = None;
                let mut event_id__ = None;
                let mut inference_id__ = None;
                let mut tenant__ = None;
                let mut recorded_at_unix_nanos__ = None;
                let mut recorded_by__ = None;
                let mut previous_hash__ = None;
                let mut sealed__ = None;
                let mut configuration__ = None;
                let mut fact__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::SchemaVersion => {
                            if schema_version__.is_some() {
                                return Err(serde::de::Error::duplicate_field("schemaVersion"));
                            }
                            schema_version__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::EventId => {
                            if event_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("eventId"));
                            }
                            event_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::InferenceId => {
                            if inference_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("inferenceId"));
                            }
                            inference_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Tenant => {
                            if tenant__.is_some() {
                                return Err(serde::de::Error::duplicate_field("tenant"));
                            }
                            tenant__ = Some(map_.next_value()?);
                        }
                        GeneratedField::RecordedAtUnixNanos => {
                            if recorded_at_unix_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("recordedAtUnixNanos"));
                            }
                            recorded_at_unix_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::RecordedBy => {
                            if recorded_by__.is_some() {
                                return Err(serde::de::Error::duplicate_field("recordedBy"));
                            }
                            recorded_by__ = Some(map_.next_value()?);
                        }
                        GeneratedField::PreviousHash => {
                            if previous_hash__.is_some() {
                                return Err(serde::de::Error::duplicate_field("previousHash"));
                            }
                            previous_hash__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Sealed => {
                            if sealed__.is_some() {
                                return Err(serde::de::Error::duplicate_field("sealed"));
                            }
                            sealed__ = map_.next_value()?;
                        }
                        GeneratedField::Configuration => {
                            if configuration__.is_some() {
                                return Err(serde::de::Error::duplicate_field("configuration"));
                            }
                            configuration__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Requested => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("requested"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(envelope::Fact::Requested)
;
                        }
                        GeneratedField::Admitted => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("admitted"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(envelope::Fact::Admitted)
;
                        }
                        GeneratedField::Assigned => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("assigned"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(envelope::Fact::Assigned)
;
                        }
                        GeneratedField::Started => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("started"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(envelope::Fact::Started)
;
                        }
                        GeneratedField::AttemptFailed => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("attemptFailed"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(envelope::Fact::AttemptFailed)
;
                        }
                        GeneratedField::CancelRequested => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("cancelRequested"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(envelope::Fact::CancelRequested)
;
                        }
                        GeneratedField::Ended => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("ended"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(envelope::Fact::Ended)
;
                        }
                        GeneratedField::WebhookRequested => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("webhookRequested"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(envelope::Fact::WebhookRequested)
;
                        }
                    }
                }
                Ok(Envelope {
                    schema_version: schema_version__.unwrap_or_default(),
                    event_id: event_id__.unwrap_or_default(),
                    inference_id: inference_id__.unwrap_or_default(),
                    tenant: tenant__.unwrap_or_default(),
                    recorded_at_unix_nanos: recorded_at_unix_nanos__.unwrap_or_default(),
                    recorded_by: recorded_by__.unwrap_or_default(),
                    previous_hash: previous_hash__.unwrap_or_default(),
                    sealed: sealed__,
                    configuration: configuration__.unwrap_or_default(),
                    fact: fact__,
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Envelope", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Failure {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.code.is_empty() {
            len += 1;
        }
        if !self.message.is_empty() {
            len += 1;
        }
        if !self.param.is_empty() {
            len += 1;
        }
        if self.kind != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Failure", len)?;
        if !self.code.is_empty() {
            struct_ser.serialize_field("code", &self.code)?;
        }
        if !self.message.is_empty() {
            struct_ser.serialize_field("message", &self.message)?;
        }
        if !self.param.is_empty() {
            struct_ser.serialize_field("param", &self.param)?;
        }
        if self.kind != 0 {
            let v = FailureKind::try_from(self.kind)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.kind)))?;
            struct_ser.serialize_field("kind", &v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Failure {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "code",
            "message",
            "param",
            "kind",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Code,
            Message,
            Param,
            Kind,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "code" => Ok(GeneratedField::Code),
                            "message" => Ok(GeneratedField::Message),
                            "param" => Ok(GeneratedField::Param),
                            "kind" => Ok(GeneratedField::Kind),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Failure;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Failure")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Failure, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut code__ = None;
                let mut message__ = None;
                let mut param__ = None;
                let mut kind__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Code => {
                            if code__.is_some() {
                                return Err(serde::de::Error::duplicate_field("code"));
                            }
                            code__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Message => {
                            if message__.is_some() {
                                return Err(serde::de::Error::duplicate_field("message"));
                            }
                            message__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Param => {
                            if param__.is_some() {
                                return Err(serde::de::Error::duplicate_field("param"));
                            }
                            param__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Kind => {
                            if kind__.is_some() {
                                return Err(serde::de::Error::duplicate_field("kind"));
                            }
                            kind__ = Some(map_.next_value::<FailureKind>()? as i32);
                        }
                    }
                }
                Ok(Failure {
                    code: code__.unwrap_or_default(),
                    message: message__.unwrap_or_default(),
                    param: param__.unwrap_or_default(),
                    kind: kind__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Failure", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for FailureKind {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "FAILURE_KIND_UNSPECIFIED",
            Self::InvalidRequest => "FAILURE_KIND_INVALID_REQUEST",
            Self::NotFound => "FAILURE_KIND_NOT_FOUND",
            Self::Refused => "FAILURE_KIND_REFUSED",
            Self::Overloaded => "FAILURE_KIND_OVERLOADED",
            Self::Internal => "FAILURE_KIND_INTERNAL",
            Self::Timeout => "FAILURE_KIND_TIMEOUT",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for FailureKind {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "FAILURE_KIND_UNSPECIFIED",
            "FAILURE_KIND_INVALID_REQUEST",
            "FAILURE_KIND_NOT_FOUND",
            "FAILURE_KIND_REFUSED",
            "FAILURE_KIND_OVERLOADED",
            "FAILURE_KIND_INTERNAL",
            "FAILURE_KIND_TIMEOUT",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = FailureKind;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "FAILURE_KIND_UNSPECIFIED" => Ok(FailureKind::Unspecified),
                    "FAILURE_KIND_INVALID_REQUEST" => Ok(FailureKind::InvalidRequest),
                    "FAILURE_KIND_NOT_FOUND" => Ok(FailureKind::NotFound),
                    "FAILURE_KIND_REFUSED" => Ok(FailureKind::Refused),
                    "FAILURE_KIND_OVERLOADED" => Ok(FailureKind::Overloaded),
                    "FAILURE_KIND_INTERNAL" => Ok(FailureKind::Internal),
                    "FAILURE_KIND_TIMEOUT" => Ok(FailureKind::Timeout),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
impl serde::Serialize for FileCreated {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.file.is_empty() {
            len += 1;
        }
        if !self.filename.is_empty() {
            len += 1;
        }
        if !self.purpose.is_empty() {
            len += 1;
        }
        if self.num_bytes != 0 {
            len += 1;
        }
        if self.num_chunks != 0 {
            len += 1;
        }
        if !self.digest.is_empty() {
            len += 1;
        }
        if self.expires_at_unix_nanos != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.FileCreated", len)?;
        if !self.file.is_empty() {
            struct_ser.serialize_field("file", &self.file)?;
        }
        if !self.filename.is_empty() {
            struct_ser.serialize_field("filename", &self.filename)?;
        }
        if !self.purpose.is_empty() {
            struct_ser.serialize_field("purpose", &self.purpose)?;
        }
        if self.num_bytes != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("num_bytes", ToString::to_string(&self.num_bytes).as_str())?;
        }
        if self.num_chunks != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("num_chunks", ToString::to_string(&self.num_chunks).as_str())?;
        }
        if !self.digest.is_empty() {
            struct_ser.serialize_field("digest", &self.digest)?;
        }
        if self.expires_at_unix_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("expires_at_unix_nanos", ToString::to_string(&self.expires_at_unix_nanos).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for FileCreated {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "file",
            "filename",
            "purpose",
            "num_bytes",
            "numBytes",
            "num_chunks",
            "numChunks",
            "digest",
            "expires_at_unix_nanos",
            "expiresAtUnixNanos",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            File,
            Filename,
            Purpose,
            NumBytes,
            NumChunks,
            Digest,
            ExpiresAtUnixNanos,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "file" => Ok(GeneratedField::File),
                            "filename" => Ok(GeneratedField::Filename),
                            "purpose" => Ok(GeneratedField::Purpose),
                            "numBytes" | "num_bytes" => Ok(GeneratedField::NumBytes),
                            "numChunks" | "num_chunks" => Ok(GeneratedField::NumChunks),
                            "digest" => Ok(GeneratedField::Digest),
                            "expiresAtUnixNanos" | "expires_at_unix_nanos" => Ok(GeneratedField::ExpiresAtUnixNanos),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = FileCreated;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.FileCreated")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<FileCreated, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut file__ = None;
                let mut filename__ = None;
                let mut purpose__ = None;
                let mut num_bytes__ = None;
                let mut num_chunks__ = None;
                let mut digest__ = None;
                let mut expires_at_unix_nanos__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::File => {
                            if file__.is_some() {
                                return Err(serde::de::Error::duplicate_field("file"));
                            }
                            file__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Filename => {
                            if filename__.is_some() {
                                return Err(serde::de::Error::duplicate_field("filename"));
                            }
                            filename__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Purpose => {
                            if purpose__.is_some() {
                                return Err(serde::de::Error::duplicate_field("purpose"));
                            }
                            purpose__ = Some(map_.next_value()?);
                        }
                        GeneratedField::NumBytes => {
                            if num_bytes__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numBytes"));
                            }
                            num_bytes__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NumChunks => {
                            if num_chunks__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numChunks"));
                            }
                            num_chunks__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Digest => {
                            if digest__.is_some() {
                                return Err(serde::de::Error::duplicate_field("digest"));
                            }
                            digest__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ExpiresAtUnixNanos => {
                            if expires_at_unix_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("expiresAtUnixNanos"));
                            }
                            expires_at_unix_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(FileCreated {
                    file: file__.unwrap_or_default(),
                    filename: filename__.unwrap_or_default(),
                    purpose: purpose__.unwrap_or_default(),
                    num_bytes: num_bytes__.unwrap_or_default(),
                    num_chunks: num_chunks__.unwrap_or_default(),
                    digest: digest__.unwrap_or_default(),
                    expires_at_unix_nanos: expires_at_unix_nanos__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.FileCreated", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for FileDeleted {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.file.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.FileDeleted", len)?;
        if !self.file.is_empty() {
            struct_ser.serialize_field("file", &self.file)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for FileDeleted {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "file",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            File,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "file" => Ok(GeneratedField::File),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = FileDeleted;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.FileDeleted")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<FileDeleted, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut file__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::File => {
                            if file__.is_some() {
                                return Err(serde::de::Error::duplicate_field("file"));
                            }
                            file__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(FileDeleted {
                    file: file__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.FileDeleted", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for FileUploadBegun {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.file.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.FileUploadBegun", len)?;
        if !self.file.is_empty() {
            struct_ser.serialize_field("file", &self.file)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for FileUploadBegun {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "file",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            File,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "file" => Ok(GeneratedField::File),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = FileUploadBegun;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.FileUploadBegun")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<FileUploadBegun, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut file__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::File => {
                            if file__.is_some() {
                                return Err(serde::de::Error::duplicate_field("file"));
                            }
                            file__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(FileUploadBegun {
                    file: file__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.FileUploadBegun", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for FileUploadEnded {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.file.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.FileUploadEnded", len)?;
        if !self.file.is_empty() {
            struct_ser.serialize_field("file", &self.file)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for FileUploadEnded {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "file",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            File,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "file" => Ok(GeneratedField::File),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = FileUploadEnded;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.FileUploadEnded")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<FileUploadEnded, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut file__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::File => {
                            if file__.is_some() {
                                return Err(serde::de::Error::duplicate_field("file"));
                            }
                            file__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(FileUploadEnded {
                    file: file__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.FileUploadEnded", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for FinishReason {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "FINISH_REASON_UNSPECIFIED",
            Self::Stop => "FINISH_REASON_STOP",
            Self::Length => "FINISH_REASON_LENGTH",
            Self::Cancelled => "FINISH_REASON_CANCELLED",
            Self::Error => "FINISH_REASON_ERROR",
            Self::ToolCalls => "FINISH_REASON_TOOL_CALLS",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for FinishReason {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "FINISH_REASON_UNSPECIFIED",
            "FINISH_REASON_STOP",
            "FINISH_REASON_LENGTH",
            "FINISH_REASON_CANCELLED",
            "FINISH_REASON_ERROR",
            "FINISH_REASON_TOOL_CALLS",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = FinishReason;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "FINISH_REASON_UNSPECIFIED" => Ok(FinishReason::Unspecified),
                    "FINISH_REASON_STOP" => Ok(FinishReason::Stop),
                    "FINISH_REASON_LENGTH" => Ok(FinishReason::Length),
                    "FINISH_REASON_CANCELLED" => Ok(FinishReason::Cancelled),
                    "FINISH_REASON_ERROR" => Ok(FinishReason::Error),
                    "FINISH_REASON_TOOL_CALLS" => Ok(FinishReason::ToolCalls),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
impl serde::Serialize for FrameEntry {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.inference_id.is_empty() {
            len += 1;
        }
        if self.attempt != 0 {
            len += 1;
        }
        if self.choice != 0 {
            len += 1;
        }
        if self.first_token_index != 0 {
            len += 1;
        }
        if !self.token_ids.is_empty() {
            len += 1;
        }
        if !self.text.is_empty() {
            len += 1;
        }
        if !self.logprobs.is_empty() {
            len += 1;
        }
        if self.finish_reason != 0 {
            len += 1;
        }
        if !self.stop_reason.is_empty() {
            len += 1;
        }
        if self.prompt.is_some() {
            len += 1;
        }
        if self.end.is_some() {
            len += 1;
        }
        if !self.reasoning.is_empty() {
            len += 1;
        }
        if !self.tool_calls.is_empty() {
            len += 1;
        }
        if self.step != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.FrameEntry", len)?;
        if !self.inference_id.is_empty() {
            struct_ser.serialize_field("inference_id", &self.inference_id)?;
        }
        if self.attempt != 0 {
            struct_ser.serialize_field("attempt", &self.attempt)?;
        }
        if self.choice != 0 {
            struct_ser.serialize_field("choice", &self.choice)?;
        }
        if self.first_token_index != 0 {
            struct_ser.serialize_field("first_token_index", &self.first_token_index)?;
        }
        if !self.token_ids.is_empty() {
            struct_ser.serialize_field("token_ids", &self.token_ids)?;
        }
        if !self.text.is_empty() {
            struct_ser.serialize_field("text", &self.text)?;
        }
        if !self.logprobs.is_empty() {
            struct_ser.serialize_field("logprobs", &self.logprobs)?;
        }
        if self.finish_reason != 0 {
            let v = FinishReason::try_from(self.finish_reason)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.finish_reason)))?;
            struct_ser.serialize_field("finish_reason", &v)?;
        }
        if !self.stop_reason.is_empty() {
            struct_ser.serialize_field("stop_reason", &self.stop_reason)?;
        }
        if let Some(v) = self.prompt.as_ref() {
            struct_ser.serialize_field("prompt", v)?;
        }
        if let Some(v) = self.end.as_ref() {
            struct_ser.serialize_field("end", v)?;
        }
        if !self.reasoning.is_empty() {
            struct_ser.serialize_field("reasoning", &self.reasoning)?;
        }
        if !self.tool_calls.is_empty() {
            struct_ser.serialize_field("tool_calls", &self.tool_calls)?;
        }
        if self.step != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("step", ToString::to_string(&self.step).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for FrameEntry {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "inference_id",
            "inferenceId",
            "attempt",
            "choice",
            "first_token_index",
            "firstTokenIndex",
            "token_ids",
            "tokenIds",
            "text",
            "logprobs",
            "finish_reason",
            "finishReason",
            "stop_reason",
            "stopReason",
            "prompt",
            "end",
            "reasoning",
            "tool_calls",
            "toolCalls",
            "step",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            InferenceId,
            Attempt,
            Choice,
            FirstTokenIndex,
            TokenIds,
            Text,
            Logprobs,
            FinishReason,
            StopReason,
            Prompt,
            End,
            Reasoning,
            ToolCalls,
            Step,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "inferenceId" | "inference_id" => Ok(GeneratedField::InferenceId),
                            "attempt" => Ok(GeneratedField::Attempt),
                            "choice" => Ok(GeneratedField::Choice),
                            "firstTokenIndex" | "first_token_index" => Ok(GeneratedField::FirstTokenIndex),
                            "tokenIds" | "token_ids" => Ok(GeneratedField::TokenIds),
                            "text" => Ok(GeneratedField::Text),
                            "logprobs" => Ok(GeneratedField::Logprobs),
                            "finishReason" | "finish_reason" => Ok(GeneratedField::FinishReason),
                            "stopReason" | "stop_reason" => Ok(GeneratedField::StopReason),
                            "prompt" => Ok(GeneratedField::Prompt),
                            "end" => Ok(GeneratedField::End),
                            "reasoning" => Ok(GeneratedField::Reasoning),
                            "toolCalls" | "tool_calls" => Ok(GeneratedField::ToolCalls),
                            "step" => Ok(GeneratedField::Step),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = FrameEntry;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.FrameEntry")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<FrameEntry, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut inference_id__ = None;
                let mut attempt__ = None;
                let mut choice__ = None;
                let mut first_token_index__ = None;
                let mut token_ids__ = None;
                let mut text__ = None;
                let mut logprobs__ = None;
                let mut finish_reason__ = None;
                let mut stop_reason__ = None;
                let mut prompt__ = None;
                let mut end__ = None;
                let mut reasoning__ = None;
                let mut tool_calls__ = None;
                let mut step__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::InferenceId => {
                            if inference_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("inferenceId"));
                            }
                            inference_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Attempt => {
                            if attempt__.is_some() {
                                return Err(serde::de::Error::duplicate_field("attempt"));
                            }
                            attempt__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Choice => {
                            if choice__.is_some() {
                                return Err(serde::de::Error::duplicate_field("choice"));
                            }
                            choice__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::FirstTokenIndex => {
                            if first_token_index__.is_some() {
                                return Err(serde::de::Error::duplicate_field("firstTokenIndex"));
                            }
                            first_token_index__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::TokenIds => {
                            if token_ids__.is_some() {
                                return Err(serde::de::Error::duplicate_field("tokenIds"));
                            }
                            token_ids__ = 
                                Some(map_.next_value::<Vec<::pbjson::private::NumberDeserialize<_>>>()?
                                    .into_iter().map(|x| x.0).collect())
                            ;
                        }
                        GeneratedField::Text => {
                            if text__.is_some() {
                                return Err(serde::de::Error::duplicate_field("text"));
                            }
                            text__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Logprobs => {
                            if logprobs__.is_some() {
                                return Err(serde::de::Error::duplicate_field("logprobs"));
                            }
                            logprobs__ = Some(map_.next_value()?);
                        }
                        GeneratedField::FinishReason => {
                            if finish_reason__.is_some() {
                                return Err(serde::de::Error::duplicate_field("finishReason"));
                            }
                            finish_reason__ = Some(map_.next_value::<FinishReason>()? as i32);
                        }
                        GeneratedField::StopReason => {
                            if stop_reason__.is_some() {
                                return Err(serde::de::Error::duplicate_field("stopReason"));
                            }
                            stop_reason__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Prompt => {
                            if prompt__.is_some() {
                                return Err(serde::de::Error::duplicate_field("prompt"));
                            }
                            prompt__ = map_.next_value()?;
                        }
                        GeneratedField::End => {
                            if end__.is_some() {
                                return Err(serde::de::Error::duplicate_field("end"));
                            }
                            end__ = map_.next_value()?;
                        }
                        GeneratedField::Reasoning => {
                            if reasoning__.is_some() {
                                return Err(serde::de::Error::duplicate_field("reasoning"));
                            }
                            reasoning__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ToolCalls => {
                            if tool_calls__.is_some() {
                                return Err(serde::de::Error::duplicate_field("toolCalls"));
                            }
                            tool_calls__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Step => {
                            if step__.is_some() {
                                return Err(serde::de::Error::duplicate_field("step"));
                            }
                            step__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(FrameEntry {
                    inference_id: inference_id__.unwrap_or_default(),
                    attempt: attempt__.unwrap_or_default(),
                    choice: choice__.unwrap_or_default(),
                    first_token_index: first_token_index__.unwrap_or_default(),
                    token_ids: token_ids__.unwrap_or_default(),
                    text: text__.unwrap_or_default(),
                    logprobs: logprobs__.unwrap_or_default(),
                    finish_reason: finish_reason__.unwrap_or_default(),
                    stop_reason: stop_reason__.unwrap_or_default(),
                    prompt: prompt__,
                    end: end__,
                    reasoning: reasoning__.unwrap_or_default(),
                    tool_calls: tool_calls__.unwrap_or_default(),
                    step: step__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.FrameEntry", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Grammar {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.kind.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Grammar", len)?;
        if let Some(v) = self.kind.as_ref() {
            match v {
                grammar::Kind::JsonSchema(v) => {
                    struct_ser.serialize_field("json_schema", v)?;
                }
                grammar::Kind::JsonObject(v) => {
                    struct_ser.serialize_field("json_object", v)?;
                }
                grammar::Kind::Regex(v) => {
                    struct_ser.serialize_field("regex", v)?;
                }
                grammar::Kind::Choices(v) => {
                    struct_ser.serialize_field("choices", v)?;
                }
                grammar::Kind::Lark(v) => {
                    struct_ser.serialize_field("lark", v)?;
                }
            }
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Grammar {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "json_schema",
            "jsonSchema",
            "json_object",
            "jsonObject",
            "regex",
            "choices",
            "lark",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            JsonSchema,
            JsonObject,
            Regex,
            Choices,
            Lark,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "jsonSchema" | "json_schema" => Ok(GeneratedField::JsonSchema),
                            "jsonObject" | "json_object" => Ok(GeneratedField::JsonObject),
                            "regex" => Ok(GeneratedField::Regex),
                            "choices" => Ok(GeneratedField::Choices),
                            "lark" => Ok(GeneratedField::Lark),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Grammar;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Grammar")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Grammar, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut kind__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::JsonSchema => {
                            if kind__.is_some() {
                                return Err(serde::de::Error::duplicate_field("jsonSchema"));
                            }
                            kind__ = map_.next_value::<::std::option::Option<_>>()?.map(grammar::Kind::JsonSchema);
                        }
                        GeneratedField::JsonObject => {
                            if kind__.is_some() {
                                return Err(serde::de::Error::duplicate_field("jsonObject"));
                            }
                            kind__ = map_.next_value::<::std::option::Option<_>>()?.map(grammar::Kind::JsonObject);
                        }
                        GeneratedField::Regex => {
                            if kind__.is_some() {
                                return Err(serde::de::Error::duplicate_field("regex"));
                            }
                            kind__ = map_.next_value::<::std::option::Option<_>>()?.map(grammar::Kind::Regex);
                        }
                        GeneratedField::Choices => {
                            if kind__.is_some() {
                                return Err(serde::de::Error::duplicate_field("choices"));
                            }
                            kind__ = map_.next_value::<::std::option::Option<_>>()?.map(grammar::Kind::Choices)
;
                        }
                        GeneratedField::Lark => {
                            if kind__.is_some() {
                                return Err(serde::de::Error::duplicate_field("lark"));
                            }
                            kind__ = map_.next_value::<::std::option::Option<_>>()?.map(grammar::Kind::Lark);
                        }
                    }
                }
                Ok(Grammar {
                    kind: kind__,
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Grammar", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Heartbeat {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.worker.is_empty() {
            len += 1;
        }
        if !self.incarnation.is_empty() {
            len += 1;
        }
        if !self.held.is_empty() {
            len += 1;
        }
        if self.is_last {
            len += 1;
        }
        if self.uptime_nanos != 0 {
            len += 1;
        }
        if self.is_addition {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Heartbeat", len)?;
        if !self.worker.is_empty() {
            struct_ser.serialize_field("worker", &self.worker)?;
        }
        if !self.incarnation.is_empty() {
            struct_ser.serialize_field("incarnation", &self.incarnation)?;
        }
        if !self.held.is_empty() {
            struct_ser.serialize_field("held", &self.held)?;
        }
        if self.is_last {
            struct_ser.serialize_field("is_last", &self.is_last)?;
        }
        if self.uptime_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("uptime_nanos", ToString::to_string(&self.uptime_nanos).as_str())?;
        }
        if self.is_addition {
            struct_ser.serialize_field("is_addition", &self.is_addition)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Heartbeat {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "worker",
            "incarnation",
            "held",
            "is_last",
            "isLast",
            "uptime_nanos",
            "uptimeNanos",
            "is_addition",
            "isAddition",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Worker,
            Incarnation,
            Held,
            IsLast,
            UptimeNanos,
            IsAddition,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "worker" => Ok(GeneratedField::Worker),
                            "incarnation" => Ok(GeneratedField::Incarnation),
                            "held" => Ok(GeneratedField::Held),
                            "isLast" | "is_last" => Ok(GeneratedField::IsLast),
                            "uptimeNanos" | "uptime_nanos" => Ok(GeneratedField::UptimeNanos),
                            "isAddition" | "is_addition" => Ok(GeneratedField::IsAddition),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Heartbeat;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Heartbeat")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Heartbeat, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut worker__ = None;
                let mut incarnation__ = None;
                let mut held__ = None;
                let mut is_last__ = None;
                let mut uptime_nanos__ = None;
                let mut is_addition__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Worker => {
                            if worker__.is_some() {
                                return Err(serde::de::Error::duplicate_field("worker"));
                            }
                            worker__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Incarnation => {
                            if incarnation__.is_some() {
                                return Err(serde::de::Error::duplicate_field("incarnation"));
                            }
                            incarnation__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Held => {
                            if held__.is_some() {
                                return Err(serde::de::Error::duplicate_field("held"));
                            }
                            held__ = Some(map_.next_value()?);
                        }
                        GeneratedField::IsLast => {
                            if is_last__.is_some() {
                                return Err(serde::de::Error::duplicate_field("isLast"));
                            }
                            is_last__ = Some(map_.next_value()?);
                        }
                        GeneratedField::UptimeNanos => {
                            if uptime_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("uptimeNanos"));
                            }
                            uptime_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::IsAddition => {
                            if is_addition__.is_some() {
                                return Err(serde::de::Error::duplicate_field("isAddition"));
                            }
                            is_addition__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(Heartbeat {
                    worker: worker__.unwrap_or_default(),
                    incarnation: incarnation__.unwrap_or_default(),
                    held: held__.unwrap_or_default(),
                    is_last: is_last__.unwrap_or_default(),
                    uptime_nanos: uptime_nanos__.unwrap_or_default(),
                    is_addition: is_addition__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Heartbeat", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for HeldAttempt {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.inference_id.is_empty() {
            len += 1;
        }
        if self.attempt != 0 {
            len += 1;
        }
        if self.assigned_sequence != 0 {
            len += 1;
        }
        if self.is_unproven {
            len += 1;
        }
        if self.is_batch {
            len += 1;
        }
        if self.is_waiting {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.HeldAttempt", len)?;
        if !self.inference_id.is_empty() {
            struct_ser.serialize_field("inference_id", &self.inference_id)?;
        }
        if self.attempt != 0 {
            struct_ser.serialize_field("attempt", &self.attempt)?;
        }
        if self.assigned_sequence != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("assigned_sequence", ToString::to_string(&self.assigned_sequence).as_str())?;
        }
        if self.is_unproven {
            struct_ser.serialize_field("is_unproven", &self.is_unproven)?;
        }
        if self.is_batch {
            struct_ser.serialize_field("is_batch", &self.is_batch)?;
        }
        if self.is_waiting {
            struct_ser.serialize_field("is_waiting", &self.is_waiting)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for HeldAttempt {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "inference_id",
            "inferenceId",
            "attempt",
            "assigned_sequence",
            "assignedSequence",
            "is_unproven",
            "isUnproven",
            "is_batch",
            "isBatch",
            "is_waiting",
            "isWaiting",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            InferenceId,
            Attempt,
            AssignedSequence,
            IsUnproven,
            IsBatch,
            IsWaiting,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "inferenceId" | "inference_id" => Ok(GeneratedField::InferenceId),
                            "attempt" => Ok(GeneratedField::Attempt),
                            "assignedSequence" | "assigned_sequence" => Ok(GeneratedField::AssignedSequence),
                            "isUnproven" | "is_unproven" => Ok(GeneratedField::IsUnproven),
                            "isBatch" | "is_batch" => Ok(GeneratedField::IsBatch),
                            "isWaiting" | "is_waiting" => Ok(GeneratedField::IsWaiting),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = HeldAttempt;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.HeldAttempt")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<HeldAttempt, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut inference_id__ = None;
                let mut attempt__ = None;
                let mut assigned_sequence__ = None;
                let mut is_unproven__ = None;
                let mut is_batch__ = None;
                let mut is_waiting__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::InferenceId => {
                            if inference_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("inferenceId"));
                            }
                            inference_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Attempt => {
                            if attempt__.is_some() {
                                return Err(serde::de::Error::duplicate_field("attempt"));
                            }
                            attempt__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::AssignedSequence => {
                            if assigned_sequence__.is_some() {
                                return Err(serde::de::Error::duplicate_field("assignedSequence"));
                            }
                            assigned_sequence__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::IsUnproven => {
                            if is_unproven__.is_some() {
                                return Err(serde::de::Error::duplicate_field("isUnproven"));
                            }
                            is_unproven__ = Some(map_.next_value()?);
                        }
                        GeneratedField::IsBatch => {
                            if is_batch__.is_some() {
                                return Err(serde::de::Error::duplicate_field("isBatch"));
                            }
                            is_batch__ = Some(map_.next_value()?);
                        }
                        GeneratedField::IsWaiting => {
                            if is_waiting__.is_some() {
                                return Err(serde::de::Error::duplicate_field("isWaiting"));
                            }
                            is_waiting__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(HeldAttempt {
                    inference_id: inference_id__.unwrap_or_default(),
                    attempt: attempt__.unwrap_or_default(),
                    assigned_sequence: assigned_sequence__.unwrap_or_default(),
                    is_unproven: is_unproven__.unwrap_or_default(),
                    is_batch: is_batch__.unwrap_or_default(),
                    is_waiting: is_waiting__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.HeldAttempt", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for JobEnvelope {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.schema_version != 0 {
            len += 1;
        }
        if !self.event_id.is_empty() {
            len += 1;
        }
        if !self.tenant.is_empty() {
            len += 1;
        }
        if self.recorded_at_unix_nanos != 0 {
            len += 1;
        }
        if !self.recorded_by.is_empty() {
            len += 1;
        }
        if self.fact.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.JobEnvelope", len)?;
        if self.schema_version != 0 {
            struct_ser.serialize_field("schema_version", &self.schema_version)?;
        }
        if !self.event_id.is_empty() {
            struct_ser.serialize_field("event_id", &self.event_id)?;
        }
        if !self.tenant.is_empty() {
            struct_ser.serialize_field("tenant", &self.tenant)?;
        }
        if self.recorded_at_unix_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("recorded_at_unix_nanos", ToString::to_string(&self.recorded_at_unix_nanos).as_str())?;
        }
        if !self.recorded_by.is_empty() {
            struct_ser.serialize_field("recorded_by", &self.recorded_by)?;
        }
        if let Some(v) = self.fact.as_ref() {
            match v {
                job_envelope::Fact::FileCreated(v) => {
                    struct_ser.serialize_field("file_created", v)?;
                }
                job_envelope::Fact::FileDeleted(v) => {
                    struct_ser.serialize_field("file_deleted", v)?;
                }
                job_envelope::Fact::FileUploadBegun(v) => {
                    struct_ser.serialize_field("file_upload_begun", v)?;
                }
                job_envelope::Fact::FileUploadEnded(v) => {
                    struct_ser.serialize_field("file_upload_ended", v)?;
                }
                job_envelope::Fact::BatchCreated(v) => {
                    struct_ser.serialize_field("batch_created", v)?;
                }
                job_envelope::Fact::BatchProgressed(v) => {
                    struct_ser.serialize_field("batch_progressed", v)?;
                }
                job_envelope::Fact::BatchCancelRequested(v) => {
                    struct_ser.serialize_field("batch_cancel_requested", v)?;
                }
                job_envelope::Fact::BatchEnded(v) => {
                    struct_ser.serialize_field("batch_ended", v)?;
                }
            }
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for JobEnvelope {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "schema_version",
            "schemaVersion",
            "event_id",
            "eventId",
            "tenant",
            "recorded_at_unix_nanos",
            "recordedAtUnixNanos",
            "recorded_by",
            "recordedBy",
            "file_created",
            "fileCreated",
            "file_deleted",
            "fileDeleted",
            "file_upload_begun",
            "fileUploadBegun",
            "file_upload_ended",
            "fileUploadEnded",
            "batch_created",
            "batchCreated",
            "batch_progressed",
            "batchProgressed",
            "batch_cancel_requested",
            "batchCancelRequested",
            "batch_ended",
            "batchEnded",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            SchemaVersion,
            EventId,
            Tenant,
            RecordedAtUnixNanos,
            RecordedBy,
            FileCreated,
            FileDeleted,
            FileUploadBegun,
            FileUploadEnded,
            BatchCreated,
            BatchProgressed,
            BatchCancelRequested,
            BatchEnded,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "schemaVersion" | "schema_version" => Ok(GeneratedField::SchemaVersion),
                            "eventId" | "event_id" => Ok(GeneratedField::EventId),
                            "tenant" => Ok(GeneratedField::Tenant),
                            "recordedAtUnixNanos" | "recorded_at_unix_nanos" => Ok(GeneratedField::RecordedAtUnixNanos),
                            "recordedBy" | "recorded_by" => Ok(GeneratedField::RecordedBy),
                            "fileCreated" | "file_created" => Ok(GeneratedField::FileCreated),
                            "fileDeleted" | "file_deleted" => Ok(GeneratedField::FileDeleted),
                            "fileUploadBegun" | "file_upload_begun" => Ok(GeneratedField::FileUploadBegun),
                            "fileUploadEnded" | "file_upload_ended" => Ok(GeneratedField::FileUploadEnded),
                            "batchCreated" | "batch_created" => Ok(GeneratedField::BatchCreated),
                            "batchProgressed" | "batch_progressed" => Ok(GeneratedField::BatchProgressed),
                            "batchCancelRequested" | "batch_cancel_requested" => Ok(GeneratedField::BatchCancelRequested),
                            "batchEnded" | "batch_ended" => Ok(GeneratedField::BatchEnded),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = JobEnvelope;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.JobEnvelope")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<JobEnvelope, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut schema_version__ = None;
                let mut event_id__ = None;
                let mut tenant__ = None;
                let mut recorded_at_unix_nanos__ = None;
                let mut recorded_by__ = None;
                let mut fact__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::SchemaVersion => {
                            if schema_version__.is_some() {
                                return Err(serde::de::Error::duplicate_field("schemaVersion"));
                            }
                            schema_version__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::EventId => {
                            if event_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("eventId"));
                            }
                            event_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Tenant => {
                            if tenant__.is_some() {
                                return Err(serde::de::Error::duplicate_field("tenant"));
                            }
                            tenant__ = Some(map_.next_value()?);
                        }
                        GeneratedField::RecordedAtUnixNanos => {
                            if recorded_at_unix_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("recordedAtUnixNanos"));
                            }
                            recorded_at_unix_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::RecordedBy => {
                            if recorded_by__.is_some() {
                                return Err(serde::de::Error::duplicate_field("recordedBy"));
                            }
                            recorded_by__ = Some(map_.next_value()?);
                        }
                        GeneratedField::FileCreated => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("fileCreated"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(job_envelope::Fact::FileCreated)
;
                        }
                        GeneratedField::FileDeleted => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("fileDeleted"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(job_envelope::Fact::FileDeleted)
;
                        }
                        GeneratedField::FileUploadBegun => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("fileUploadBegun"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(job_envelope::Fact::FileUploadBegun)
;
                        }
                        GeneratedField::FileUploadEnded => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("fileUploadEnded"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(job_envelope::Fact::FileUploadEnded)
;
                        }
                        GeneratedField::BatchCreated => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("batchCreated"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(job_envelope::Fact::BatchCreated)
;
                        }
                        GeneratedField::BatchProgressed => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("batchProgressed"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(job_envelope::Fact::BatchProgressed)
;
                        }
                        GeneratedField::BatchCancelRequested => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("batchCancelRequested"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(job_envelope::Fact::BatchCancelRequested)
;
                        }
                        GeneratedField::BatchEnded => {
                            if fact__.is_some() {
                                return Err(serde::de::Error::duplicate_field("batchEnded"));
                            }
                            fact__ = map_.next_value::<::std::option::Option<_>>()?.map(job_envelope::Fact::BatchEnded)
;
                        }
                    }
                }
                Ok(JobEnvelope {
                    schema_version: schema_version__.unwrap_or_default(),
                    event_id: event_id__.unwrap_or_default(),
                    tenant: tenant__.unwrap_or_default(),
                    recorded_at_unix_nanos: recorded_at_unix_nanos__.unwrap_or_default(),
                    recorded_by: recorded_by__.unwrap_or_default(),
                    fact: fact__,
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.JobEnvelope", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for LineCounts {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.num_lines != 0 {
            len += 1;
        }
        if self.num_answered != 0 {
            len += 1;
        }
        if self.num_failed != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.LineCounts", len)?;
        if self.num_lines != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("num_lines", ToString::to_string(&self.num_lines).as_str())?;
        }
        if self.num_answered != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("num_answered", ToString::to_string(&self.num_answered).as_str())?;
        }
        if self.num_failed != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("num_failed", ToString::to_string(&self.num_failed).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for LineCounts {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "num_lines",
            "numLines",
            "num_answered",
            "numAnswered",
            "num_failed",
            "numFailed",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            NumLines,
            NumAnswered,
            NumFailed,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "numLines" | "num_lines" => Ok(GeneratedField::NumLines),
                            "numAnswered" | "num_answered" => Ok(GeneratedField::NumAnswered),
                            "numFailed" | "num_failed" => Ok(GeneratedField::NumFailed),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = LineCounts;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.LineCounts")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<LineCounts, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut num_lines__ = None;
                let mut num_answered__ = None;
                let mut num_failed__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::NumLines => {
                            if num_lines__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numLines"));
                            }
                            num_lines__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NumAnswered => {
                            if num_answered__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numAnswered"));
                            }
                            num_answered__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NumFailed => {
                            if num_failed__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numFailed"));
                            }
                            num_failed__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(LineCounts {
                    num_lines: num_lines__.unwrap_or_default(),
                    num_answered: num_answered__.unwrap_or_default(),
                    num_failed: num_failed__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.LineCounts", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Outcome {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "OUTCOME_UNSPECIFIED",
            Self::Completed => "OUTCOME_COMPLETED",
            Self::Rejected => "OUTCOME_REJECTED",
            Self::Failed => "OUTCOME_FAILED",
            Self::Cancelled => "OUTCOME_CANCELLED",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for Outcome {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "OUTCOME_UNSPECIFIED",
            "OUTCOME_COMPLETED",
            "OUTCOME_REJECTED",
            "OUTCOME_FAILED",
            "OUTCOME_CANCELLED",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = Outcome;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "OUTCOME_UNSPECIFIED" => Ok(Outcome::Unspecified),
                    "OUTCOME_COMPLETED" => Ok(Outcome::Completed),
                    "OUTCOME_REJECTED" => Ok(Outcome::Rejected),
                    "OUTCOME_FAILED" => Ok(Outcome::Failed),
                    "OUTCOME_CANCELLED" => Ok(Outcome::Cancelled),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
impl serde::Serialize for Pooled {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.values.is_empty() {
            len += 1;
        }
        if self.num_tokens != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Pooled", len)?;
        if !self.values.is_empty() {
            struct_ser.serialize_field("values", &self.values)?;
        }
        if self.num_tokens != 0 {
            struct_ser.serialize_field("num_tokens", &self.num_tokens)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Pooled {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "values",
            "num_tokens",
            "numTokens",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Values,
            NumTokens,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "values" => Ok(GeneratedField::Values),
                            "numTokens" | "num_tokens" => Ok(GeneratedField::NumTokens),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Pooled;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Pooled")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Pooled, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut values__ = None;
                let mut num_tokens__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Values => {
                            if values__.is_some() {
                                return Err(serde::de::Error::duplicate_field("values"));
                            }
                            values__ = 
                                Some(map_.next_value::<Vec<::pbjson::private::NumberDeserialize<_>>>()?
                                    .into_iter().map(|x| x.0).collect())
                            ;
                        }
                        GeneratedField::NumTokens => {
                            if num_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numTokens"));
                            }
                            num_tokens__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(Pooled {
                    values: values__.unwrap_or_default(),
                    num_tokens: num_tokens__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Pooled", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Pooling {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.task != 0 {
            len += 1;
        }
        if !self.inputs.is_empty() {
            len += 1;
        }
        if self.dimensions != 0 {
            len += 1;
        }
        if self.truncate_prompt_tokens.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Pooling", len)?;
        if self.task != 0 {
            let v = PoolingTask::try_from(self.task)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.task)))?;
            struct_ser.serialize_field("task", &v)?;
        }
        if !self.inputs.is_empty() {
            struct_ser.serialize_field("inputs", &self.inputs)?;
        }
        if self.dimensions != 0 {
            struct_ser.serialize_field("dimensions", &self.dimensions)?;
        }
        if let Some(v) = self.truncate_prompt_tokens.as_ref() {
            struct_ser.serialize_field("truncate_prompt_tokens", v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Pooling {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "task",
            "inputs",
            "dimensions",
            "truncate_prompt_tokens",
            "truncatePromptTokens",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Task,
            Inputs,
            Dimensions,
            TruncatePromptTokens,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "task" => Ok(GeneratedField::Task),
                            "inputs" => Ok(GeneratedField::Inputs),
                            "dimensions" => Ok(GeneratedField::Dimensions),
                            "truncatePromptTokens" | "truncate_prompt_tokens" => Ok(GeneratedField::TruncatePromptTokens),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Pooling;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Pooling")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Pooling, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut task__ = None;
                let mut inputs__ = None;
                let mut dimensions__ = None;
                let mut truncate_prompt_tokens__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Task => {
                            if task__.is_some() {
                                return Err(serde::de::Error::duplicate_field("task"));
                            }
                            task__ = Some(map_.next_value::<PoolingTask>()? as i32);
                        }
                        GeneratedField::Inputs => {
                            if inputs__.is_some() {
                                return Err(serde::de::Error::duplicate_field("inputs"));
                            }
                            inputs__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Dimensions => {
                            if dimensions__.is_some() {
                                return Err(serde::de::Error::duplicate_field("dimensions"));
                            }
                            dimensions__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::TruncatePromptTokens => {
                            if truncate_prompt_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("truncatePromptTokens"));
                            }
                            truncate_prompt_tokens__ = 
                                map_.next_value::<::std::option::Option<::pbjson::private::NumberDeserialize<_>>>()?.map(|x| x.0)
                            ;
                        }
                    }
                }
                Ok(Pooling {
                    task: task__.unwrap_or_default(),
                    inputs: inputs__.unwrap_or_default(),
                    dimensions: dimensions__.unwrap_or_default(),
                    truncate_prompt_tokens: truncate_prompt_tokens__,
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Pooling", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for PoolingInput {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.content.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.PoolingInput", len)?;
        if let Some(v) = self.content.as_ref() {
            match v {
                pooling_input::Content::Text(v) => {
                    struct_ser.serialize_field("text", v)?;
                }
                pooling_input::Content::TokenIds(v) => {
                    struct_ser.serialize_field("token_ids", v)?;
                }
                pooling_input::Content::Pair(v) => {
                    struct_ser.serialize_field("pair", v)?;
                }
            }
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for PoolingInput {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "text",
            "token_ids",
            "tokenIds",
            "pair",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Text,
            TokenIds,
            Pair,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "text" => Ok(GeneratedField::Text),
                            "tokenIds" | "token_ids" => Ok(GeneratedField::TokenIds),
                            "pair" => Ok(GeneratedField::Pair),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = PoolingInput;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.PoolingInput")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<PoolingInput, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut content__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Text => {
                            if content__.is_some() {
                                return Err(serde::de::Error::duplicate_field("text"));
                            }
                            content__ = map_.next_value::<::std::option::Option<_>>()?.map(pooling_input::Content::Text);
                        }
                        GeneratedField::TokenIds => {
                            if content__.is_some() {
                                return Err(serde::de::Error::duplicate_field("tokenIds"));
                            }
                            content__ = map_.next_value::<::std::option::Option<_>>()?.map(pooling_input::Content::TokenIds)
;
                        }
                        GeneratedField::Pair => {
                            if content__.is_some() {
                                return Err(serde::de::Error::duplicate_field("pair"));
                            }
                            content__ = map_.next_value::<::std::option::Option<_>>()?.map(pooling_input::Content::Pair)
;
                        }
                    }
                }
                Ok(PoolingInput {
                    content: content__,
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.PoolingInput", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for PoolingTask {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "POOLING_TASK_UNSPECIFIED",
            Self::Embed => "POOLING_TASK_EMBED",
            Self::Score => "POOLING_TASK_SCORE",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for PoolingTask {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "POOLING_TASK_UNSPECIFIED",
            "POOLING_TASK_EMBED",
            "POOLING_TASK_SCORE",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = PoolingTask;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "POOLING_TASK_UNSPECIFIED" => Ok(PoolingTask::Unspecified),
                    "POOLING_TASK_EMBED" => Ok(PoolingTask::Embed),
                    "POOLING_TASK_SCORE" => Ok(PoolingTask::Score),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
impl serde::Serialize for Price {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.currency.is_empty() {
            len += 1;
        }
        if self.input_nanos_per_million != 0 {
            len += 1;
        }
        if self.cached_input_nanos_per_million != 0 {
            len += 1;
        }
        if self.output_nanos_per_million != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Price", len)?;
        if !self.currency.is_empty() {
            struct_ser.serialize_field("currency", &self.currency)?;
        }
        if self.input_nanos_per_million != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("input_nanos_per_million", ToString::to_string(&self.input_nanos_per_million).as_str())?;
        }
        if self.cached_input_nanos_per_million != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("cached_input_nanos_per_million", ToString::to_string(&self.cached_input_nanos_per_million).as_str())?;
        }
        if self.output_nanos_per_million != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("output_nanos_per_million", ToString::to_string(&self.output_nanos_per_million).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Price {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "currency",
            "input_nanos_per_million",
            "inputNanosPerMillion",
            "cached_input_nanos_per_million",
            "cachedInputNanosPerMillion",
            "output_nanos_per_million",
            "outputNanosPerMillion",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Currency,
            InputNanosPerMillion,
            CachedInputNanosPerMillion,
            OutputNanosPerMillion,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "currency" => Ok(GeneratedField::Currency),
                            "inputNanosPerMillion" | "input_nanos_per_million" => Ok(GeneratedField::InputNanosPerMillion),
                            "cachedInputNanosPerMillion" | "cached_input_nanos_per_million" => Ok(GeneratedField::CachedInputNanosPerMillion),
                            "outputNanosPerMillion" | "output_nanos_per_million" => Ok(GeneratedField::OutputNanosPerMillion),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Price;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Price")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Price, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut currency__ = None;
                let mut input_nanos_per_million__ = None;
                let mut cached_input_nanos_per_million__ = None;
                let mut output_nanos_per_million__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Currency => {
                            if currency__.is_some() {
                                return Err(serde::de::Error::duplicate_field("currency"));
                            }
                            currency__ = Some(map_.next_value()?);
                        }
                        GeneratedField::InputNanosPerMillion => {
                            if input_nanos_per_million__.is_some() {
                                return Err(serde::de::Error::duplicate_field("inputNanosPerMillion"));
                            }
                            input_nanos_per_million__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::CachedInputNanosPerMillion => {
                            if cached_input_nanos_per_million__.is_some() {
                                return Err(serde::de::Error::duplicate_field("cachedInputNanosPerMillion"));
                            }
                            cached_input_nanos_per_million__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::OutputNanosPerMillion => {
                            if output_nanos_per_million__.is_some() {
                                return Err(serde::de::Error::duplicate_field("outputNanosPerMillion"));
                            }
                            output_nanos_per_million__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(Price {
                    currency: currency__.unwrap_or_default(),
                    input_nanos_per_million: input_nanos_per_million__.unwrap_or_default(),
                    cached_input_nanos_per_million: cached_input_nanos_per_million__.unwrap_or_default(),
                    output_nanos_per_million: output_nanos_per_million__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Price", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Prompt {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.content.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Prompt", len)?;
        if let Some(v) = self.content.as_ref() {
            match v {
                prompt::Content::Chat(v) => {
                    struct_ser.serialize_field("chat", v)?;
                }
                prompt::Content::Text(v) => {
                    struct_ser.serialize_field("text", v)?;
                }
                prompt::Content::TokenIds(v) => {
                    struct_ser.serialize_field("token_ids", v)?;
                }
            }
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Prompt {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "chat",
            "text",
            "token_ids",
            "tokenIds",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Chat,
            Text,
            TokenIds,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "chat" => Ok(GeneratedField::Chat),
                            "text" => Ok(GeneratedField::Text),
                            "tokenIds" | "token_ids" => Ok(GeneratedField::TokenIds),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Prompt;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Prompt")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Prompt, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut content__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Chat => {
                            if content__.is_some() {
                                return Err(serde::de::Error::duplicate_field("chat"));
                            }
                            content__ = map_.next_value::<::std::option::Option<_>>()?.map(prompt::Content::Chat)
;
                        }
                        GeneratedField::Text => {
                            if content__.is_some() {
                                return Err(serde::de::Error::duplicate_field("text"));
                            }
                            content__ = map_.next_value::<::std::option::Option<_>>()?.map(prompt::Content::Text);
                        }
                        GeneratedField::TokenIds => {
                            if content__.is_some() {
                                return Err(serde::de::Error::duplicate_field("tokenIds"));
                            }
                            content__ = map_.next_value::<::std::option::Option<_>>()?.map(prompt::Content::TokenIds)
;
                        }
                    }
                }
                Ok(Prompt {
                    content: content__,
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Prompt", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for PromptReport {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.num_prompt_tokens != 0 {
            len += 1;
        }
        if self.num_cached_prompt_tokens != 0 {
            len += 1;
        }
        if !self.engine_fingerprint.is_empty() {
            len += 1;
        }
        if !self.token_ids.is_empty() {
            len += 1;
        }
        if !self.text.is_empty() {
            len += 1;
        }
        if !self.logprobs.is_empty() {
            len += 1;
        }
        if self.seed != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.PromptReport", len)?;
        if self.num_prompt_tokens != 0 {
            struct_ser.serialize_field("num_prompt_tokens", &self.num_prompt_tokens)?;
        }
        if self.num_cached_prompt_tokens != 0 {
            struct_ser.serialize_field("num_cached_prompt_tokens", &self.num_cached_prompt_tokens)?;
        }
        if !self.engine_fingerprint.is_empty() {
            struct_ser.serialize_field("engine_fingerprint", &self.engine_fingerprint)?;
        }
        if !self.token_ids.is_empty() {
            struct_ser.serialize_field("token_ids", &self.token_ids)?;
        }
        if !self.text.is_empty() {
            struct_ser.serialize_field("text", &self.text)?;
        }
        if !self.logprobs.is_empty() {
            struct_ser.serialize_field("logprobs", &self.logprobs)?;
        }
        if self.seed != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("seed", ToString::to_string(&self.seed).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for PromptReport {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "num_prompt_tokens",
            "numPromptTokens",
            "num_cached_prompt_tokens",
            "numCachedPromptTokens",
            "engine_fingerprint",
            "engineFingerprint",
            "token_ids",
            "tokenIds",
            "text",
            "logprobs",
            "seed",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            NumPromptTokens,
            NumCachedPromptTokens,
            EngineFingerprint,
            TokenIds,
            Text,
            Logprobs,
            Seed,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "numPromptTokens" | "num_prompt_tokens" => Ok(GeneratedField::NumPromptTokens),
                            "numCachedPromptTokens" | "num_cached_prompt_tokens" => Ok(GeneratedField::NumCachedPromptTokens),
                            "engineFingerprint" | "engine_fingerprint" => Ok(GeneratedField::EngineFingerprint),
                            "tokenIds" | "token_ids" => Ok(GeneratedField::TokenIds),
                            "text" => Ok(GeneratedField::Text),
                            "logprobs" => Ok(GeneratedField::Logprobs),
                            "seed" => Ok(GeneratedField::Seed),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = PromptReport;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.PromptReport")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<PromptReport, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut num_prompt_tokens__ = None;
                let mut num_cached_prompt_tokens__ = None;
                let mut engine_fingerprint__ = None;
                let mut token_ids__ = None;
                let mut text__ = None;
                let mut logprobs__ = None;
                let mut seed__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::NumPromptTokens => {
                            if num_prompt_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numPromptTokens"));
                            }
                            num_prompt_tokens__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NumCachedPromptTokens => {
                            if num_cached_prompt_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numCachedPromptTokens"));
                            }
                            num_cached_prompt_tokens__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::EngineFingerprint => {
                            if engine_fingerprint__.is_some() {
                                return Err(serde::de::Error::duplicate_field("engineFingerprint"));
                            }
                            engine_fingerprint__ = Some(map_.next_value()?);
                        }
                        GeneratedField::TokenIds => {
                            if token_ids__.is_some() {
                                return Err(serde::de::Error::duplicate_field("tokenIds"));
                            }
                            token_ids__ = 
                                Some(map_.next_value::<Vec<::pbjson::private::NumberDeserialize<_>>>()?
                                    .into_iter().map(|x| x.0).collect())
                            ;
                        }
                        GeneratedField::Text => {
                            if text__.is_some() {
                                return Err(serde::de::Error::duplicate_field("text"));
                            }
                            text__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Logprobs => {
                            if logprobs__.is_some() {
                                return Err(serde::de::Error::duplicate_field("logprobs"));
                            }
                            logprobs__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Seed => {
                            if seed__.is_some() {
                                return Err(serde::de::Error::duplicate_field("seed"));
                            }
                            seed__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(PromptReport {
                    num_prompt_tokens: num_prompt_tokens__.unwrap_or_default(),
                    num_cached_prompt_tokens: num_cached_prompt_tokens__.unwrap_or_default(),
                    engine_fingerprint: engine_fingerprint__.unwrap_or_default(),
                    token_ids: token_ids__.unwrap_or_default(),
                    text: text__.unwrap_or_default(),
                    logprobs: logprobs__.unwrap_or_default(),
                    seed: seed__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.PromptReport", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for RecordAccessed {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.caller.is_empty() {
            len += 1;
        }
        if !self.operation.is_empty() {
            len += 1;
        }
        if !self.inference_id.is_empty() {
            len += 1;
        }
        if !self.scope.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.RecordAccessed", len)?;
        if !self.caller.is_empty() {
            struct_ser.serialize_field("caller", &self.caller)?;
        }
        if !self.operation.is_empty() {
            struct_ser.serialize_field("operation", &self.operation)?;
        }
        if !self.inference_id.is_empty() {
            struct_ser.serialize_field("inference_id", &self.inference_id)?;
        }
        if !self.scope.is_empty() {
            struct_ser.serialize_field("scope", &self.scope)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for RecordAccessed {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "caller",
            "operation",
            "inference_id",
            "inferenceId",
            "scope",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Caller,
            Operation,
            InferenceId,
            Scope,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "caller" => Ok(GeneratedField::Caller),
                            "operation" => Ok(GeneratedField::Operation),
                            "inferenceId" | "inference_id" => Ok(GeneratedField::InferenceId),
                            "scope" => Ok(GeneratedField::Scope),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = RecordAccessed;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.RecordAccessed")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<RecordAccessed, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut caller__ = None;
                let mut operation__ = None;
                let mut inference_id__ = None;
                let mut scope__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Caller => {
                            if caller__.is_some() {
                                return Err(serde::de::Error::duplicate_field("caller"));
                            }
                            caller__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Operation => {
                            if operation__.is_some() {
                                return Err(serde::de::Error::duplicate_field("operation"));
                            }
                            operation__ = Some(map_.next_value()?);
                        }
                        GeneratedField::InferenceId => {
                            if inference_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("inferenceId"));
                            }
                            inference_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Scope => {
                            if scope__.is_some() {
                                return Err(serde::de::Error::duplicate_field("scope"));
                            }
                            scope__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(RecordAccessed {
                    caller: caller__.unwrap_or_default(),
                    operation: operation__.unwrap_or_default(),
                    inference_id: inference_id__.unwrap_or_default(),
                    scope: scope__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.RecordAccessed", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for RequestSummary {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.model.is_empty() {
            len += 1;
        }
        if self.class != 0 {
            len += 1;
        }
        if !self.ingress.is_empty() {
            len += 1;
        }
        if self.priority != 0 {
            len += 1;
        }
        if self.content_sequence != 0 {
            len += 1;
        }
        if self.requested_at_unix_nanos != 0 {
            len += 1;
        }
        if self.redacted_sequence != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.RequestSummary", len)?;
        if !self.model.is_empty() {
            struct_ser.serialize_field("model", &self.model)?;
        }
        if self.class != 0 {
            let v = WorkClass::try_from(self.class)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.class)))?;
            struct_ser.serialize_field("class", &v)?;
        }
        if !self.ingress.is_empty() {
            struct_ser.serialize_field("ingress", &self.ingress)?;
        }
        if self.priority != 0 {
            struct_ser.serialize_field("priority", &self.priority)?;
        }
        if self.content_sequence != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("content_sequence", ToString::to_string(&self.content_sequence).as_str())?;
        }
        if self.requested_at_unix_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("requested_at_unix_nanos", ToString::to_string(&self.requested_at_unix_nanos).as_str())?;
        }
        if self.redacted_sequence != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("redacted_sequence", ToString::to_string(&self.redacted_sequence).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for RequestSummary {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "model",
            "class",
            "ingress",
            "priority",
            "content_sequence",
            "contentSequence",
            "requested_at_unix_nanos",
            "requestedAtUnixNanos",
            "redacted_sequence",
            "redactedSequence",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Model,
            Class,
            Ingress,
            Priority,
            ContentSequence,
            RequestedAtUnixNanos,
            RedactedSequence,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "model" => Ok(GeneratedField::Model),
                            "class" => Ok(GeneratedField::Class),
                            "ingress" => Ok(GeneratedField::Ingress),
                            "priority" => Ok(GeneratedField::Priority),
                            "contentSequence" | "content_sequence" => Ok(GeneratedField::ContentSequence),
                            "requestedAtUnixNanos" | "requested_at_unix_nanos" => Ok(GeneratedField::RequestedAtUnixNanos),
                            "redactedSequence" | "redacted_sequence" => Ok(GeneratedField::RedactedSequence),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = RequestSummary;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.RequestSummary")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<RequestSummary, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut model__ = None;
                let mut class__ = None;
                let mut ingress__ = None;
                let mut priority__ = None;
                let mut content_sequence__ = None;
                let mut requested_at_unix_nanos__ = None;
                let mut redacted_sequence__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Model => {
                            if model__.is_some() {
                                return Err(serde::de::Error::duplicate_field("model"));
                            }
                            model__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Class => {
                            if class__.is_some() {
                                return Err(serde::de::Error::duplicate_field("class"));
                            }
                            class__ = Some(map_.next_value::<WorkClass>()? as i32);
                        }
                        GeneratedField::Ingress => {
                            if ingress__.is_some() {
                                return Err(serde::de::Error::duplicate_field("ingress"));
                            }
                            ingress__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Priority => {
                            if priority__.is_some() {
                                return Err(serde::de::Error::duplicate_field("priority"));
                            }
                            priority__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::ContentSequence => {
                            if content_sequence__.is_some() {
                                return Err(serde::de::Error::duplicate_field("contentSequence"));
                            }
                            content_sequence__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::RequestedAtUnixNanos => {
                            if requested_at_unix_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("requestedAtUnixNanos"));
                            }
                            requested_at_unix_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::RedactedSequence => {
                            if redacted_sequence__.is_some() {
                                return Err(serde::de::Error::duplicate_field("redactedSequence"));
                            }
                            redacted_sequence__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(RequestSummary {
                    model: model__.unwrap_or_default(),
                    class: class__.unwrap_or_default(),
                    ingress: ingress__.unwrap_or_default(),
                    priority: priority__.unwrap_or_default(),
                    content_sequence: content_sequence__.unwrap_or_default(),
                    requested_at_unix_nanos: requested_at_unix_nanos__.unwrap_or_default(),
                    redacted_sequence: redacted_sequence__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.RequestSummary", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Requested {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.model.is_empty() {
            len += 1;
        }
        if self.class != 0 {
            len += 1;
        }
        if !self.ingress.is_empty() {
            len += 1;
        }
        if !self.endpoint.is_empty() {
            len += 1;
        }
        if self.prompt.is_some() {
            len += 1;
        }
        if self.sampling.is_some() {
            len += 1;
        }
        if self.stream {
            len += 1;
        }
        if self.priority != 0 {
            len += 1;
        }
        if !self.cache_salt.is_empty() {
            len += 1;
        }
        if !self.request_group.is_empty() {
            len += 1;
        }
        if !self.caller.is_empty() {
            len += 1;
        }
        if self.pooling.is_some() {
            len += 1;
        }
        if !self.request_digest.is_empty() {
            len += 1;
        }
        if self.grace_nanos != 0 {
            len += 1;
        }
        if self.background {
            len += 1;
        }
        if self.answer_options.is_some() {
            len += 1;
        }
        if self.deadline_unix_nanos != 0 {
            len += 1;
        }
        if self.batch_place.is_some() {
            len += 1;
        }
        if !self.end_user.is_empty() {
            len += 1;
        }
        if self.price.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Requested", len)?;
        if !self.model.is_empty() {
            struct_ser.serialize_field("model", &self.model)?;
        }
        if self.class != 0 {
            let v = WorkClass::try_from(self.class)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.class)))?;
            struct_ser.serialize_field("class", &v)?;
        }
        if !self.ingress.is_empty() {
            struct_ser.serialize_field("ingress", &self.ingress)?;
        }
        if !self.endpoint.is_empty() {
            struct_ser.serialize_field("endpoint", &self.endpoint)?;
        }
        if let Some(v) = self.prompt.as_ref() {
            struct_ser.serialize_field("prompt", v)?;
        }
        if let Some(v) = self.sampling.as_ref() {
            struct_ser.serialize_field("sampling", v)?;
        }
        if self.stream {
            struct_ser.serialize_field("stream", &self.stream)?;
        }
        if self.priority != 0 {
            struct_ser.serialize_field("priority", &self.priority)?;
        }
        if !self.cache_salt.is_empty() {
            struct_ser.serialize_field("cache_salt", &self.cache_salt)?;
        }
        if !self.request_group.is_empty() {
            struct_ser.serialize_field("request_group", &self.request_group)?;
        }
        if !self.caller.is_empty() {
            struct_ser.serialize_field("caller", &self.caller)?;
        }
        if let Some(v) = self.pooling.as_ref() {
            struct_ser.serialize_field("pooling", v)?;
        }
        if !self.request_digest.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("request_digest", pbjson::private::base64::encode(&self.request_digest).as_str())?;
        }
        if self.grace_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("grace_nanos", ToString::to_string(&self.grace_nanos).as_str())?;
        }
        if self.background {
            struct_ser.serialize_field("background", &self.background)?;
        }
        if let Some(v) = self.answer_options.as_ref() {
            struct_ser.serialize_field("answer_options", v)?;
        }
        if self.deadline_unix_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("deadline_unix_nanos", ToString::to_string(&self.deadline_unix_nanos).as_str())?;
        }
        if let Some(v) = self.batch_place.as_ref() {
            struct_ser.serialize_field("batch_place", v)?;
        }
        if !self.end_user.is_empty() {
            struct_ser.serialize_field("end_user", &self.end_user)?;
        }
        if let Some(v) = self.price.as_ref() {
            struct_ser.serialize_field("price", v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Requested {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "model",
            "class",
            "ingress",
            "endpoint",
            "prompt",
            "sampling",
            "stream",
            "priority",
            "cache_salt",
            "cacheSalt",
            "request_group",
            "requestGroup",
            "caller",
            "pooling",
            "request_digest",
            "requestDigest",
            "grace_nanos",
            "graceNanos",
            "background",
            "answer_options",
            "answerOptions",
            "deadline_unix_nanos",
            "deadlineUnixNanos",
            "batch_place",
            "batchPlace",
            "end_user",
            "endUser",
            "price",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Model,
            Class,
            Ingress,
            Endpoint,
            Prompt,
            Sampling,
            Stream,
            Priority,
            CacheSalt,
            RequestGroup,
            Caller,
            Pooling,
            RequestDigest,
            GraceNanos,
            Background,
            AnswerOptions,
            DeadlineUnixNanos,
            BatchPlace,
            EndUser,
            Price,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "model" => Ok(GeneratedField::Model),
                            "class" => Ok(GeneratedField::Class),
                            "ingress" => Ok(GeneratedField::Ingress),
                            "endpoint" => Ok(GeneratedField::Endpoint),
                            "prompt" => Ok(GeneratedField::Prompt),
                            "sampling" => Ok(GeneratedField::Sampling),
                            "stream" => Ok(GeneratedField::Stream),
                            "priority" => Ok(GeneratedField::Priority),
                            "cacheSalt" | "cache_salt" => Ok(GeneratedField::CacheSalt),
                            "requestGroup" | "request_group" => Ok(GeneratedField::RequestGroup),
                            "caller" => Ok(GeneratedField::Caller),
                            "pooling" => Ok(GeneratedField::Pooling),
                            "requestDigest" | "request_digest" => Ok(GeneratedField::RequestDigest),
                            "graceNanos" | "grace_nanos" => Ok(GeneratedField::GraceNanos),
                            "background" => Ok(GeneratedField::Background),
                            "answerOptions" | "answer_options" => Ok(GeneratedField::AnswerOptions),
                            "deadlineUnixNanos" | "deadline_unix_nanos" => Ok(GeneratedField::DeadlineUnixNanos),
                            "batchPlace" | "batch_place" => Ok(GeneratedField::BatchPlace),
                            "endUser" | "end_user" => Ok(GeneratedField::EndUser),
                            "price" => Ok(GeneratedField::Price),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Requested;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Requested")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Requested, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut model__ = None;
                let mut class__ = None;
                let mut ingress__ = None;
                let mut endpoint__ = None;
                let mut prompt__ = None;
                let mut sampling__ = None;
                let mut stream__ = None;
                let mut priority__ = None;
                let mut cache_salt__ = None;
                let mut request_group__ = None;
                let mut caller__ = None;
                let mut pooling__ = None;
                let mut request_digest__ = None;
                let mut grace_nanos__ = None;
                let mut background__ = None;
                let mut answer_options__ = None;
                let mut deadline_unix_nanos__ = None;
                let mut batch_place__ = None;
                let mut end_user__ = None;
                let mut price__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Model => {
                            if model__.is_some() {
                                return Err(serde::de::Error::duplicate_field("model"));
                            }
                            model__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Class => {
                            if class__.is_some() {
                                return Err(serde::de::Error::duplicate_field("class"));
                            }
                            class__ = Some(map_.next_value::<WorkClass>()? as i32);
                        }
                        GeneratedField::Ingress => {
                            if ingress__.is_some() {
                                return Err(serde::de::Error::duplicate_field("ingress"));
                            }
                            ingress__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Endpoint => {
                            if endpoint__.is_some() {
                                return Err(serde::de::Error::duplicate_field("endpoint"));
                            }
                            endpoint__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Prompt => {
                            if prompt__.is_some() {
                                return Err(serde::de::Error::duplicate_field("prompt"));
                            }
                            prompt__ = map_.next_value()?;
                        }
                        GeneratedField::Sampling => {
                            if sampling__.is_some() {
                                return Err(serde::de::Error::duplicate_field("sampling"));
                            }
                            sampling__ = map_.next_value()?;
                        }
                        GeneratedField::Stream => {
                            if stream__.is_some() {
                                return Err(serde::de::Error::duplicate_field("stream"));
                            }
                            stream__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Priority => {
                            if priority__.is_some() {
                                return Err(serde::de::Error::duplicate_field("priority"));
                            }
                            priority__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::CacheSalt => {
                            if cache_salt__.is_some() {
                                return Err(serde::de::Error::duplicate_field("cacheSalt"));
                            }
                            cache_salt__ = Some(map_.next_value()?);
                        }
                        GeneratedField::RequestGroup => {
                            if request_group__.is_some() {
                                return Err(serde::de::Error::duplicate_field("requestGroup"));
                            }
                            request_group__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Caller => {
                            if caller__.is_some() {
                                return Err(serde::de::Error::duplicate_field("caller"));
                            }
                            caller__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Pooling => {
                            if pooling__.is_some() {
                                return Err(serde::de::Error::duplicate_field("pooling"));
                            }
                            pooling__ = map_.next_value()?;
                        }
                        GeneratedField::RequestDigest => {
                            if request_digest__.is_some() {
                                return Err(serde::de::Error::duplicate_field("requestDigest"));
                            }
                            request_digest__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::GraceNanos => {
                            if grace_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("graceNanos"));
                            }
                            grace_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Background => {
                            if background__.is_some() {
                                return Err(serde::de::Error::duplicate_field("background"));
                            }
                            background__ = Some(map_.next_value()?);
                        }
                        GeneratedField::AnswerOptions => {
                            if answer_options__.is_some() {
                                return Err(serde::de::Error::duplicate_field("answerOptions"));
                            }
                            answer_options__ = map_.next_value()?;
                        }
                        GeneratedField::DeadlineUnixNanos => {
                            if deadline_unix_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("deadlineUnixNanos"));
                            }
                            deadline_unix_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::BatchPlace => {
                            if batch_place__.is_some() {
                                return Err(serde::de::Error::duplicate_field("batchPlace"));
                            }
                            batch_place__ = map_.next_value()?;
                        }
                        GeneratedField::EndUser => {
                            if end_user__.is_some() {
                                return Err(serde::de::Error::duplicate_field("endUser"));
                            }
                            end_user__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Price => {
                            if price__.is_some() {
                                return Err(serde::de::Error::duplicate_field("price"));
                            }
                            price__ = map_.next_value()?;
                        }
                    }
                }
                Ok(Requested {
                    model: model__.unwrap_or_default(),
                    class: class__.unwrap_or_default(),
                    ingress: ingress__.unwrap_or_default(),
                    endpoint: endpoint__.unwrap_or_default(),
                    prompt: prompt__,
                    sampling: sampling__,
                    stream: stream__.unwrap_or_default(),
                    priority: priority__.unwrap_or_default(),
                    cache_salt: cache_salt__.unwrap_or_default(),
                    request_group: request_group__.unwrap_or_default(),
                    caller: caller__.unwrap_or_default(),
                    pooling: pooling__,
                    request_digest: request_digest__.unwrap_or_default(),
                    grace_nanos: grace_nanos__.unwrap_or_default(),
                    background: background__.unwrap_or_default(),
                    answer_options: answer_options__,
                    deadline_unix_nanos: deadline_unix_nanos__.unwrap_or_default(),
                    batch_place: batch_place__,
                    end_user: end_user__.unwrap_or_default(),
                    price: price__,
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Requested", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for RoutingReason {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.deployment.is_empty() {
            len += 1;
        }
        if self.chosen {
            len += 1;
        }
        if !self.reason.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.RoutingReason", len)?;
        if !self.deployment.is_empty() {
            struct_ser.serialize_field("deployment", &self.deployment)?;
        }
        if self.chosen {
            struct_ser.serialize_field("chosen", &self.chosen)?;
        }
        if !self.reason.is_empty() {
            struct_ser.serialize_field("reason", &self.reason)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for RoutingReason {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "deployment",
            "chosen",
            "reason",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Deployment,
            Chosen,
            Reason,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "deployment" => Ok(GeneratedField::Deployment),
                            "chosen" => Ok(GeneratedField::Chosen),
                            "reason" => Ok(GeneratedField::Reason),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = RoutingReason;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.RoutingReason")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<RoutingReason, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut deployment__ = None;
                let mut chosen__ = None;
                let mut reason__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Deployment => {
                            if deployment__.is_some() {
                                return Err(serde::de::Error::duplicate_field("deployment"));
                            }
                            deployment__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Chosen => {
                            if chosen__.is_some() {
                                return Err(serde::de::Error::duplicate_field("chosen"));
                            }
                            chosen__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Reason => {
                            if reason__.is_some() {
                                return Err(serde::de::Error::duplicate_field("reason"));
                            }
                            reason__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(RoutingReason {
                    deployment: deployment__.unwrap_or_default(),
                    chosen: chosen__.unwrap_or_default(),
                    reason: reason__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.RoutingReason", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for SamplingParams {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.n != 0 {
            len += 1;
        }
        if self.temperature != 0. {
            len += 1;
        }
        if self.top_p != 0. {
            len += 1;
        }
        if self.top_k != 0 {
            len += 1;
        }
        if self.min_p != 0. {
            len += 1;
        }
        if self.seed.is_some() {
            len += 1;
        }
        if !self.stop.is_empty() {
            len += 1;
        }
        if !self.stop_token_ids.is_empty() {
            len += 1;
        }
        if self.ignore_eos {
            len += 1;
        }
        if self.max_tokens.is_some() {
            len += 1;
        }
        if self.min_tokens != 0 {
            len += 1;
        }
        if self.presence_penalty != 0. {
            len += 1;
        }
        if self.frequency_penalty != 0. {
            len += 1;
        }
        if self.repetition_penalty != 0. {
            len += 1;
        }
        if self.logprobs.is_some() {
            len += 1;
        }
        if self.prompt_logprobs.is_some() {
            len += 1;
        }
        if !self.logit_bias.is_empty() {
            len += 1;
        }
        if !self.allowed_token_ids.is_empty() {
            len += 1;
        }
        if !self.bad_words.is_empty() {
            len += 1;
        }
        if self.skip_special_tokens {
            len += 1;
        }
        if self.include_stop_str_in_output {
            len += 1;
        }
        if self.truncate_prompt_tokens.is_some() {
            len += 1;
        }
        if self.echo {
            len += 1;
        }
        if self.return_token_ids {
            len += 1;
        }
        if self.add_special_tokens.is_some() {
            len += 1;
        }
        if self.grammar.is_some() {
            len += 1;
        }
        if self.thinking_budget_tokens.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.SamplingParams", len)?;
        if self.n != 0 {
            struct_ser.serialize_field("n", &self.n)?;
        }
        if self.temperature != 0. {
            struct_ser.serialize_field("temperature", &self.temperature)?;
        }
        if self.top_p != 0. {
            struct_ser.serialize_field("top_p", &self.top_p)?;
        }
        if self.top_k != 0 {
            struct_ser.serialize_field("top_k", &self.top_k)?;
        }
        if self.min_p != 0. {
            struct_ser.serialize_field("min_p", &self.min_p)?;
        }
        if let Some(v) = self.seed.as_ref() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("seed", ToString::to_string(&v).as_str())?;
        }
        if !self.stop.is_empty() {
            struct_ser.serialize_field("stop", &self.stop)?;
        }
        if !self.stop_token_ids.is_empty() {
            struct_ser.serialize_field("stop_token_ids", &self.stop_token_ids)?;
        }
        if self.ignore_eos {
            struct_ser.serialize_field("ignore_eos", &self.ignore_eos)?;
        }
        if let Some(v) = self.max_tokens.as_ref() {
            struct_ser.serialize_field("max_tokens", v)?;
        }
        if self.min_tokens != 0 {
            struct_ser.serialize_field("min_tokens", &self.min_tokens)?;
        }
        if self.presence_penalty != 0. {
            struct_ser.serialize_field("presence_penalty", &self.presence_penalty)?;
        }
        if self.frequency_penalty != 0. {
            struct_ser.serialize_field("frequency_penalty", &self.frequency_penalty)?;
        }
        if self.repetition_penalty != 0. {
            struct_ser.serialize_field("repetition_penalty", &self.repetition_penalty)?;
        }
        if let Some(v) = self.logprobs.as_ref() {
            struct_ser.serialize_field("logprobs", v)?;
        }
        if let Some(v) = self.prompt_logprobs.as_ref() {
            struct_ser.serialize_field("prompt_logprobs", v)?;
        }
        if !self.logit_bias.is_empty() {
            struct_ser.serialize_field("logit_bias", &self.logit_bias)?;
        }
        if !self.allowed_token_ids.is_empty() {
            struct_ser.serialize_field("allowed_token_ids", &self.allowed_token_ids)?;
        }
        if !self.bad_words.is_empty() {
            struct_ser.serialize_field("bad_words", &self.bad_words)?;
        }
        if self.skip_special_tokens {
            struct_ser.serialize_field("skip_special_tokens", &self.skip_special_tokens)?;
        }
        if self.include_stop_str_in_output {
            struct_ser.serialize_field("include_stop_str_in_output", &self.include_stop_str_in_output)?;
        }
        if let Some(v) = self.truncate_prompt_tokens.as_ref() {
            struct_ser.serialize_field("truncate_prompt_tokens", v)?;
        }
        if self.echo {
            struct_ser.serialize_field("echo", &self.echo)?;
        }
        if self.return_token_ids {
            struct_ser.serialize_field("return_token_ids", &self.return_token_ids)?;
        }
        if let Some(v) = self.add_special_tokens.as_ref() {
            struct_ser.serialize_field("add_special_tokens", v)?;
        }
        if let Some(v) = self.grammar.as_ref() {
            struct_ser.serialize_field("grammar", v)?;
        }
        if let Some(v) = self.thinking_budget_tokens.as_ref() {
            struct_ser.serialize_field("thinking_budget_tokens", v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for SamplingParams {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "n",
            "temperature",
            "top_p",
            "topP",
            "top_k",
            "topK",
            "min_p",
            "minP",
            "seed",
            "stop",
            "stop_token_ids",
            "stopTokenIds",
            "ignore_eos",
            "ignoreEos",
            "max_tokens",
            "maxTokens",
            "min_tokens",
            "minTokens",
            "presence_penalty",
            "presencePenalty",
            "frequency_penalty",
            "frequencyPenalty",
            "repetition_penalty",
            "repetitionPenalty",
            "logprobs",
            "prompt_logprobs",
            "promptLogprobs",
            "logit_bias",
            "logitBias",
            "allowed_token_ids",
            "allowedTokenIds",
            "bad_words",
            "badWords",
            "skip_special_tokens",
            "skipSpecialTokens",
            "include_stop_str_in_output",
            "includeStopStrInOutput",
            "truncate_prompt_tokens",
            "truncatePromptTokens",
            "echo",
            "return_token_ids",
            "returnTokenIds",
            "add_special_tokens",
            "addSpecialTokens",
            "grammar",
            "thinking_budget_tokens",
            "thinkingBudgetTokens",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            N,
            Temperature,
            TopP,
            TopK,
            MinP,
            Seed,
            Stop,
            StopTokenIds,
            IgnoreEos,
            MaxTokens,
            MinTokens,
            PresencePenalty,
            FrequencyPenalty,
            RepetitionPenalty,
            Logprobs,
            PromptLogprobs,
            LogitBias,
            AllowedTokenIds,
            BadWords,
            SkipSpecialTokens,
            IncludeStopStrInOutput,
            TruncatePromptTokens,
            Echo,
            ReturnTokenIds,
            AddSpecialTokens,
            Grammar,
            ThinkingBudgetTokens,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "n" => Ok(GeneratedField::N),
                            "temperature" => Ok(GeneratedField::Temperature),
                            "topP" | "top_p" => Ok(GeneratedField::TopP),
                            "topK" | "top_k" => Ok(GeneratedField::TopK),
                            "minP" | "min_p" => Ok(GeneratedField::MinP),
                            "seed" => Ok(GeneratedField::Seed),
                            "stop" => Ok(GeneratedField::Stop),
                            "stopTokenIds" | "stop_token_ids" => Ok(GeneratedField::StopTokenIds),
                            "ignoreEos" | "ignore_eos" => Ok(GeneratedField::IgnoreEos),
                            "maxTokens" | "max_tokens" => Ok(GeneratedField::MaxTokens),
                            "minTokens" | "min_tokens" => Ok(GeneratedField::MinTokens),
                            "presencePenalty" | "presence_penalty" => Ok(GeneratedField::PresencePenalty),
                            "frequencyPenalty" | "frequency_penalty" => Ok(GeneratedField::FrequencyPenalty),
                            "repetitionPenalty" | "repetition_penalty" => Ok(GeneratedField::RepetitionPenalty),
                            "logprobs" => Ok(GeneratedField::Logprobs),
                            "promptLogprobs" | "prompt_logprobs" => Ok(GeneratedField::PromptLogprobs),
                            "logitBias" | "logit_bias" => Ok(GeneratedField::LogitBias),
                            "allowedTokenIds" | "allowed_token_ids" => Ok(GeneratedField::AllowedTokenIds),
                            "badWords" | "bad_words" => Ok(GeneratedField::BadWords),
                            "skipSpecialTokens" | "skip_special_tokens" => Ok(GeneratedField::SkipSpecialTokens),
                            "includeStopStrInOutput" | "include_stop_str_in_output" => Ok(GeneratedField::IncludeStopStrInOutput),
                            "truncatePromptTokens" | "truncate_prompt_tokens" => Ok(GeneratedField::TruncatePromptTokens),
                            "echo" => Ok(GeneratedField::Echo),
                            "returnTokenIds" | "return_token_ids" => Ok(GeneratedField::ReturnTokenIds),
                            "addSpecialTokens" | "add_special_tokens" => Ok(GeneratedField::AddSpecialTokens),
                            "grammar" => Ok(GeneratedField::Grammar),
                            "thinkingBudgetTokens" | "thinking_budget_tokens" => Ok(GeneratedField::ThinkingBudgetTokens),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = SamplingParams;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.SamplingParams")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<SamplingParams, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut n__ = None;
                let mut temperature__ = None;
                let mut top_p__ = None;
                let mut top_k__ = None;
                let mut min_p__ = None;
                let mut seed__ = None;
                let mut stop__ = None;
                let mut stop_token_ids__ = None;
                let mut ignore_eos__ = None;
                let mut max_tokens__ = None;
                let mut min_tokens__ = None;
                let mut presence_penalty__ = None;
                let mut frequency_penalty__ = None;
                let mut repetition_penalty__ = None;
                let mut logprobs__ = None;
                let mut prompt_logprobs__ = None;
                let mut logit_bias__ = None;
                let mut allowed_token_ids__ = None;
                let mut bad_words__ = None;
                let mut skip_special_tokens__ = None;
                let mut include_stop_str_in_output__ = None;
                let mut truncate_prompt_tokens__ = None;
                let mut echo__ = None;
                let mut return_token_ids__ = None;
                let mut add_special_tokens__ = None;
                let mut grammar__ = None;
                let mut thinking_budget_tokens__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::N => {
                            if n__.is_some() {
                                return Err(serde::de::Error::duplicate_field("n"));
                            }
                            n__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Temperature => {
                            if temperature__.is_some() {
                                return Err(serde::de::Error::duplicate_field("temperature"));
                            }
                            temperature__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::TopP => {
                            if top_p__.is_some() {
                                return Err(serde::de::Error::duplicate_field("topP"));
                            }
                            top_p__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::TopK => {
                            if top_k__.is_some() {
                                return Err(serde::de::Error::duplicate_field("topK"));
                            }
                            top_k__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::MinP => {
                            if min_p__.is_some() {
                                return Err(serde::de::Error::duplicate_field("minP"));
                            }
                            min_p__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Seed => {
                            if seed__.is_some() {
                                return Err(serde::de::Error::duplicate_field("seed"));
                            }
                            seed__ = 
                                map_.next_value::<::std::option::Option<::pbjson::private::NumberDeserialize<_>>>()?.map(|x| x.0)
                            ;
                        }
                        GeneratedField::Stop => {
                            if stop__.is_some() {
                                return Err(serde::de::Error::duplicate_field("stop"));
                            }
                            stop__ = Some(map_.next_value()?);
                        }
                        GeneratedField::StopTokenIds => {
                            if stop_token_ids__.is_some() {
                                return Err(serde::de::Error::duplicate_field("stopTokenIds"));
                            }
                            stop_token_ids__ = 
                                Some(map_.next_value::<Vec<::pbjson::private::NumberDeserialize<_>>>()?
                                    .into_iter().map(|x| x.0).collect())
                            ;
                        }
                        GeneratedField::IgnoreEos => {
                            if ignore_eos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("ignoreEos"));
                            }
                            ignore_eos__ = Some(map_.next_value()?);
                        }
                        GeneratedField::MaxTokens => {
                            if max_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("maxTokens"));
                            }
                            max_tokens__ = 
                                map_.next_value::<::std::option::Option<::pbjson::private::NumberDeserialize<_>>>()?.map(|x| x.0)
                            ;
                        }
                        GeneratedField::MinTokens => {
                            if min_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("minTokens"));
                            }
                            min_tokens__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::PresencePenalty => {
                            if presence_penalty__.is_some() {
                                return Err(serde::de::Error::duplicate_field("presencePenalty"));
                            }
                            presence_penalty__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::FrequencyPenalty => {
                            if frequency_penalty__.is_some() {
                                return Err(serde::de::Error::duplicate_field("frequencyPenalty"));
                            }
                            frequency_penalty__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::RepetitionPenalty => {
                            if repetition_penalty__.is_some() {
                                return Err(serde::de::Error::duplicate_field("repetitionPenalty"));
                            }
                            repetition_penalty__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Logprobs => {
                            if logprobs__.is_some() {
                                return Err(serde::de::Error::duplicate_field("logprobs"));
                            }
                            logprobs__ = 
                                map_.next_value::<::std::option::Option<::pbjson::private::NumberDeserialize<_>>>()?.map(|x| x.0)
                            ;
                        }
                        GeneratedField::PromptLogprobs => {
                            if prompt_logprobs__.is_some() {
                                return Err(serde::de::Error::duplicate_field("promptLogprobs"));
                            }
                            prompt_logprobs__ = 
                                map_.next_value::<::std::option::Option<::pbjson::private::NumberDeserialize<_>>>()?.map(|x| x.0)
                            ;
                        }
                        GeneratedField::LogitBias => {
                            if logit_bias__.is_some() {
                                return Err(serde::de::Error::duplicate_field("logitBias"));
                            }
                            logit_bias__ = Some(
                                map_.next_value::<std::collections::BTreeMap<::pbjson::private::NumberDeserialize<u32>, ::pbjson::private::NumberDeserialize<f32>>>()?
                                    .into_iter().map(|(k,v)| (k.0, v.0)).collect()
                            );
                        }
                        GeneratedField::AllowedTokenIds => {
                            if allowed_token_ids__.is_some() {
                                return Err(serde::de::Error::duplicate_field("allowedTokenIds"));
                            }
                            allowed_token_ids__ = 
                                Some(map_.next_value::<Vec<::pbjson::private::NumberDeserialize<_>>>()?
                                    .into_iter().map(|x| x.0).collect())
                            ;
                        }
                        GeneratedField::BadWords => {
                            if bad_words__.is_some() {
                                return Err(serde::de::Error::duplicate_field("badWords"));
                            }
                            bad_words__ = Some(map_.next_value()?);
                        }
                        GeneratedField::SkipSpecialTokens => {
                            if skip_special_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("skipSpecialTokens"));
                            }
                            skip_special_tokens__ = Some(map_.next_value()?);
                        }
                        GeneratedField::IncludeStopStrInOutput => {
                            if include_stop_str_in_output__.is_some() {
                                return Err(serde::de::Error::duplicate_field("includeStopStrInOutput"));
                            }
                            include_stop_str_in_output__ = Some(map_.next_value()?);
                        }
                        GeneratedField::TruncatePromptTokens => {
                            if truncate_prompt_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("truncatePromptTokens"));
                            }
                            truncate_prompt_tokens__ = 
                                map_.next_value::<::std::option::Option<::pbjson::private::NumberDeserialize<_>>>()?.map(|x| x.0)
                            ;
                        }
                        GeneratedField::Echo => {
                            if echo__.is_some() {
                                return Err(serde::de::Error::duplicate_field("echo"));
                            }
                            echo__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ReturnTokenIds => {
                            if return_token_ids__.is_some() {
                                return Err(serde::de::Error::duplicate_field("returnTokenIds"));
                            }
                            return_token_ids__ = Some(map_.next_value()?);
                        }
                        GeneratedField::AddSpecialTokens => {
                            if add_special_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("addSpecialTokens"));
                            }
                            add_special_tokens__ = map_.next_value()?;
                        }
                        GeneratedField::Grammar => {
                            if grammar__.is_some() {
                                return Err(serde::de::Error::duplicate_field("grammar"));
                            }
                            grammar__ = map_.next_value()?;
                        }
                        GeneratedField::ThinkingBudgetTokens => {
                            if thinking_budget_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("thinkingBudgetTokens"));
                            }
                            thinking_budget_tokens__ = 
                                map_.next_value::<::std::option::Option<::pbjson::private::NumberDeserialize<_>>>()?.map(|x| x.0)
                            ;
                        }
                    }
                }
                Ok(SamplingParams {
                    n: n__.unwrap_or_default(),
                    temperature: temperature__.unwrap_or_default(),
                    top_p: top_p__.unwrap_or_default(),
                    top_k: top_k__.unwrap_or_default(),
                    min_p: min_p__.unwrap_or_default(),
                    seed: seed__,
                    stop: stop__.unwrap_or_default(),
                    stop_token_ids: stop_token_ids__.unwrap_or_default(),
                    ignore_eos: ignore_eos__.unwrap_or_default(),
                    max_tokens: max_tokens__,
                    min_tokens: min_tokens__.unwrap_or_default(),
                    presence_penalty: presence_penalty__.unwrap_or_default(),
                    frequency_penalty: frequency_penalty__.unwrap_or_default(),
                    repetition_penalty: repetition_penalty__.unwrap_or_default(),
                    logprobs: logprobs__,
                    prompt_logprobs: prompt_logprobs__,
                    logit_bias: logit_bias__.unwrap_or_default(),
                    allowed_token_ids: allowed_token_ids__.unwrap_or_default(),
                    bad_words: bad_words__.unwrap_or_default(),
                    skip_special_tokens: skip_special_tokens__.unwrap_or_default(),
                    include_stop_str_in_output: include_stop_str_in_output__.unwrap_or_default(),
                    truncate_prompt_tokens: truncate_prompt_tokens__,
                    echo: echo__.unwrap_or_default(),
                    return_token_ids: return_token_ids__.unwrap_or_default(),
                    add_special_tokens: add_special_tokens__,
                    grammar: grammar__,
                    thinking_budget_tokens: thinking_budget_tokens__,
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.SamplingParams", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Sealed {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.key.is_empty() {
            len += 1;
        }
        if !self.nonce.is_empty() {
            len += 1;
        }
        if !self.ciphertext.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Sealed", len)?;
        if !self.key.is_empty() {
            struct_ser.serialize_field("key", &self.key)?;
        }
        if !self.nonce.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("nonce", pbjson::private::base64::encode(&self.nonce).as_str())?;
        }
        if !self.ciphertext.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("ciphertext", pbjson::private::base64::encode(&self.ciphertext).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Sealed {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "key",
            "nonce",
            "ciphertext",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Key,
            Nonce,
            Ciphertext,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "key" => Ok(GeneratedField::Key),
                            "nonce" => Ok(GeneratedField::Nonce),
                            "ciphertext" => Ok(GeneratedField::Ciphertext),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Sealed;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Sealed")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Sealed, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut key__ = None;
                let mut nonce__ = None;
                let mut ciphertext__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Key => {
                            if key__.is_some() {
                                return Err(serde::de::Error::duplicate_field("key"));
                            }
                            key__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Nonce => {
                            if nonce__.is_some() {
                                return Err(serde::de::Error::duplicate_field("nonce"));
                            }
                            nonce__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Ciphertext => {
                            if ciphertext__.is_some() {
                                return Err(serde::de::Error::duplicate_field("ciphertext"));
                            }
                            ciphertext__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(Sealed {
                    key: key__.unwrap_or_default(),
                    nonce: nonce__.unwrap_or_default(),
                    ciphertext: ciphertext__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Sealed", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for SegmentArchived {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.number != 0 {
            len += 1;
        }
        if !self.file.is_empty() {
            len += 1;
        }
        if self.num_bytes != 0 {
            len += 1;
        }
        if !self.sha256.is_empty() {
            len += 1;
        }
        if self.first_sequence != 0 {
            len += 1;
        }
        if self.last_sequence != 0 {
            len += 1;
        }
        if self.num_records != 0 {
            len += 1;
        }
        if self.oldest_unix_nanos != 0 {
            len += 1;
        }
        if self.newest_unix_nanos != 0 {
            len += 1;
        }
        if self.last_checkpoint != 0 {
            len += 1;
        }
        if !self.root_hash.is_empty() {
            len += 1;
        }
        if self.end_offset != 0 {
            len += 1;
        }
        if !self.end_sha256.is_empty() {
            len += 1;
        }
        if self.first_open_sequence != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.SegmentArchived", len)?;
        if self.number != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("number", ToString::to_string(&self.number).as_str())?;
        }
        if !self.file.is_empty() {
            struct_ser.serialize_field("file", &self.file)?;
        }
        if self.num_bytes != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("num_bytes", ToString::to_string(&self.num_bytes).as_str())?;
        }
        if !self.sha256.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("sha256", pbjson::private::base64::encode(&self.sha256).as_str())?;
        }
        if self.first_sequence != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("first_sequence", ToString::to_string(&self.first_sequence).as_str())?;
        }
        if self.last_sequence != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("last_sequence", ToString::to_string(&self.last_sequence).as_str())?;
        }
        if self.num_records != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("num_records", ToString::to_string(&self.num_records).as_str())?;
        }
        if self.oldest_unix_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("oldest_unix_nanos", ToString::to_string(&self.oldest_unix_nanos).as_str())?;
        }
        if self.newest_unix_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("newest_unix_nanos", ToString::to_string(&self.newest_unix_nanos).as_str())?;
        }
        if self.last_checkpoint != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("last_checkpoint", ToString::to_string(&self.last_checkpoint).as_str())?;
        }
        if !self.root_hash.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("root_hash", pbjson::private::base64::encode(&self.root_hash).as_str())?;
        }
        if self.end_offset != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("end_offset", ToString::to_string(&self.end_offset).as_str())?;
        }
        if !self.end_sha256.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("end_sha256", pbjson::private::base64::encode(&self.end_sha256).as_str())?;
        }
        if self.first_open_sequence != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("first_open_sequence", ToString::to_string(&self.first_open_sequence).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for SegmentArchived {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "number",
            "file",
            "num_bytes",
            "numBytes",
            "sha256",
            "first_sequence",
            "firstSequence",
            "last_sequence",
            "lastSequence",
            "num_records",
            "numRecords",
            "oldest_unix_nanos",
            "oldestUnixNanos",
            "newest_unix_nanos",
            "newestUnixNanos",
            "last_checkpoint",
            "lastCheckpoint",
            "root_hash",
            "rootHash",
            "end_offset",
            "endOffset",
            "end_sha256",
            "endSha256",
            "first_open_sequence",
            "firstOpenSequence",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Number,
            File,
            NumBytes,
            Sha256,
            FirstSequence,
            LastSequence,
            NumRecords,
            OldestUnixNanos,
            NewestUnixNanos,
            LastCheckpoint,
            RootHash,
            EndOffset,
            EndSha256,
            FirstOpenSequence,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "number" => Ok(GeneratedField::Number),
                            "file" => Ok(GeneratedField::File),
                            "numBytes" | "num_bytes" => Ok(GeneratedField::NumBytes),
                            "sha256" => Ok(GeneratedField::Sha256),
                            "firstSequence" | "first_sequence" => Ok(GeneratedField::FirstSequence),
                            "lastSequence" | "last_sequence" => Ok(GeneratedField::LastSequence),
                            "numRecords" | "num_records" => Ok(GeneratedField::NumRecords),
                            "oldestUnixNanos" | "oldest_unix_nanos" => Ok(GeneratedField::OldestUnixNanos),
                            "newestUnixNanos" | "newest_unix_nanos" => Ok(GeneratedField::NewestUnixNanos),
                            "lastCheckpoint" | "last_checkpoint" => Ok(GeneratedField::LastCheckpoint),
                            "rootHash" | "root_hash" => Ok(GeneratedField::RootHash),
                            "endOffset" | "end_offset" => Ok(GeneratedField::EndOffset),
                            "endSha256" | "end_sha256" => Ok(GeneratedField::EndSha256),
                            "firstOpenSequence" | "first_open_sequence" => Ok(GeneratedField::FirstOpenSequence),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = SegmentArchived;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.SegmentArchived")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<SegmentArchived, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut number__ = None;
                let mut file__ = None;
                let mut num_bytes__ = None;
                let mut sha256__ = None;
                let mut first_sequence__ = None;
                let mut last_sequence__ = None;
                let mut num_records__ = None;
                let mut oldest_unix_nanos__ = None;
                let mut newest_unix_nanos__ = None;
                let mut last_checkpoint__ = None;
                let mut root_hash__ = None;
                let mut end_offset__ = None;
                let mut end_sha256__ = None;
                let mut first_open_sequence__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Number => {
                            if number__.is_some() {
                                return Err(serde::de::Error::duplicate_field("number"));
                            }
                            number__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::File => {
                            if file__.is_some() {
                                return Err(serde::de::Error::duplicate_field("file"));
                            }
                            file__ = Some(map_.next_value()?);
                        }
                        GeneratedField::NumBytes => {
                            if num_bytes__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numBytes"));
                            }
                            num_bytes__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Sha256 => {
                            if sha256__.is_some() {
                                return Err(serde::de::Error::duplicate_field("sha256"));
                            }
                            sha256__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::FirstSequence => {
                            if first_sequence__.is_some() {
                                return Err(serde::de::Error::duplicate_field("firstSequence"));
                            }
                            first_sequence__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::LastSequence => {
                            if last_sequence__.is_some() {
                                return Err(serde::de::Error::duplicate_field("lastSequence"));
                            }
                            last_sequence__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NumRecords => {
                            if num_records__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numRecords"));
                            }
                            num_records__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::OldestUnixNanos => {
                            if oldest_unix_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("oldestUnixNanos"));
                            }
                            oldest_unix_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NewestUnixNanos => {
                            if newest_unix_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("newestUnixNanos"));
                            }
                            newest_unix_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::LastCheckpoint => {
                            if last_checkpoint__.is_some() {
                                return Err(serde::de::Error::duplicate_field("lastCheckpoint"));
                            }
                            last_checkpoint__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::RootHash => {
                            if root_hash__.is_some() {
                                return Err(serde::de::Error::duplicate_field("rootHash"));
                            }
                            root_hash__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::EndOffset => {
                            if end_offset__.is_some() {
                                return Err(serde::de::Error::duplicate_field("endOffset"));
                            }
                            end_offset__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::EndSha256 => {
                            if end_sha256__.is_some() {
                                return Err(serde::de::Error::duplicate_field("endSha256"));
                            }
                            end_sha256__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::FirstOpenSequence => {
                            if first_open_sequence__.is_some() {
                                return Err(serde::de::Error::duplicate_field("firstOpenSequence"));
                            }
                            first_open_sequence__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(SegmentArchived {
                    number: number__.unwrap_or_default(),
                    file: file__.unwrap_or_default(),
                    num_bytes: num_bytes__.unwrap_or_default(),
                    sha256: sha256__.unwrap_or_default(),
                    first_sequence: first_sequence__.unwrap_or_default(),
                    last_sequence: last_sequence__.unwrap_or_default(),
                    num_records: num_records__.unwrap_or_default(),
                    oldest_unix_nanos: oldest_unix_nanos__.unwrap_or_default(),
                    newest_unix_nanos: newest_unix_nanos__.unwrap_or_default(),
                    last_checkpoint: last_checkpoint__.unwrap_or_default(),
                    root_hash: root_hash__.unwrap_or_default(),
                    end_offset: end_offset__.unwrap_or_default(),
                    end_sha256: end_sha256__.unwrap_or_default(),
                    first_open_sequence: first_open_sequence__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.SegmentArchived", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Started {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.attempt != 0 {
            len += 1;
        }
        if !self.worker.is_empty() {
            len += 1;
        }
        if self.seed != 0 {
            len += 1;
        }
        if self.num_prompt_tokens != 0 {
            len += 1;
        }
        if !self.engine_fingerprint.is_empty() {
            len += 1;
        }
        if !self.model_digest.is_empty() {
            len += 1;
        }
        if self.num_resumed_tokens != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Started", len)?;
        if self.attempt != 0 {
            struct_ser.serialize_field("attempt", &self.attempt)?;
        }
        if !self.worker.is_empty() {
            struct_ser.serialize_field("worker", &self.worker)?;
        }
        if self.seed != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("seed", ToString::to_string(&self.seed).as_str())?;
        }
        if self.num_prompt_tokens != 0 {
            struct_ser.serialize_field("num_prompt_tokens", &self.num_prompt_tokens)?;
        }
        if !self.engine_fingerprint.is_empty() {
            struct_ser.serialize_field("engine_fingerprint", &self.engine_fingerprint)?;
        }
        if !self.model_digest.is_empty() {
            struct_ser.serialize_field("model_digest", &self.model_digest)?;
        }
        if self.num_resumed_tokens != 0 {
            struct_ser.serialize_field("num_resumed_tokens", &self.num_resumed_tokens)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Started {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "attempt",
            "worker",
            "seed",
            "num_prompt_tokens",
            "numPromptTokens",
            "engine_fingerprint",
            "engineFingerprint",
            "model_digest",
            "modelDigest",
            "num_resumed_tokens",
            "numResumedTokens",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Attempt,
            Worker,
            Seed,
            NumPromptTokens,
            EngineFingerprint,
            ModelDigest,
            NumResumedTokens,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "attempt" => Ok(GeneratedField::Attempt),
                            "worker" => Ok(GeneratedField::Worker),
                            "seed" => Ok(GeneratedField::Seed),
                            "numPromptTokens" | "num_prompt_tokens" => Ok(GeneratedField::NumPromptTokens),
                            "engineFingerprint" | "engine_fingerprint" => Ok(GeneratedField::EngineFingerprint),
                            "modelDigest" | "model_digest" => Ok(GeneratedField::ModelDigest),
                            "numResumedTokens" | "num_resumed_tokens" => Ok(GeneratedField::NumResumedTokens),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Started;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Started")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Started, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut attempt__ = None;
                let mut worker__ = None;
                let mut seed__ = None;
                let mut num_prompt_tokens__ = None;
                let mut engine_fingerprint__ = None;
                let mut model_digest__ = None;
                let mut num_resumed_tokens__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Attempt => {
                            if attempt__.is_some() {
                                return Err(serde::de::Error::duplicate_field("attempt"));
                            }
                            attempt__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Worker => {
                            if worker__.is_some() {
                                return Err(serde::de::Error::duplicate_field("worker"));
                            }
                            worker__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Seed => {
                            if seed__.is_some() {
                                return Err(serde::de::Error::duplicate_field("seed"));
                            }
                            seed__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NumPromptTokens => {
                            if num_prompt_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numPromptTokens"));
                            }
                            num_prompt_tokens__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::EngineFingerprint => {
                            if engine_fingerprint__.is_some() {
                                return Err(serde::de::Error::duplicate_field("engineFingerprint"));
                            }
                            engine_fingerprint__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ModelDigest => {
                            if model_digest__.is_some() {
                                return Err(serde::de::Error::duplicate_field("modelDigest"));
                            }
                            model_digest__ = Some(map_.next_value()?);
                        }
                        GeneratedField::NumResumedTokens => {
                            if num_resumed_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numResumedTokens"));
                            }
                            num_resumed_tokens__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(Started {
                    attempt: attempt__.unwrap_or_default(),
                    worker: worker__.unwrap_or_default(),
                    seed: seed__.unwrap_or_default(),
                    num_prompt_tokens: num_prompt_tokens__.unwrap_or_default(),
                    engine_fingerprint: engine_fingerprint__.unwrap_or_default(),
                    model_digest: model_digest__.unwrap_or_default(),
                    num_resumed_tokens: num_resumed_tokens__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Started", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for TextChoices {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.choices.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.TextChoices", len)?;
        if !self.choices.is_empty() {
            struct_ser.serialize_field("choices", &self.choices)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for TextChoices {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "choices",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Choices,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "choices" => Ok(GeneratedField::Choices),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = TextChoices;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.TextChoices")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<TextChoices, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut choices__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Choices => {
                            if choices__.is_some() {
                                return Err(serde::de::Error::duplicate_field("choices"));
                            }
                            choices__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(TextChoices {
                    choices: choices__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.TextChoices", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for TextPair {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.query.is_empty() {
            len += 1;
        }
        if !self.document.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.TextPair", len)?;
        if !self.query.is_empty() {
            struct_ser.serialize_field("query", &self.query)?;
        }
        if !self.document.is_empty() {
            struct_ser.serialize_field("document", &self.document)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for TextPair {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "query",
            "document",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Query,
            Document,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "query" => Ok(GeneratedField::Query),
                            "document" => Ok(GeneratedField::Document),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = TextPair;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.TextPair")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<TextPair, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut query__ = None;
                let mut document__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Query => {
                            if query__.is_some() {
                                return Err(serde::de::Error::duplicate_field("query"));
                            }
                            query__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Document => {
                            if document__.is_some() {
                                return Err(serde::de::Error::duplicate_field("document"));
                            }
                            document__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(TextPair {
                    query: query__.unwrap_or_default(),
                    document: document__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.TextPair", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Timings {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.queued_nanos != 0 {
            len += 1;
        }
        if self.prefill_nanos != 0 {
            len += 1;
        }
        if self.decode_nanos != 0 {
            len += 1;
        }
        if self.time_to_first_token_nanos != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Timings", len)?;
        if self.queued_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("queued_nanos", ToString::to_string(&self.queued_nanos).as_str())?;
        }
        if self.prefill_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("prefill_nanos", ToString::to_string(&self.prefill_nanos).as_str())?;
        }
        if self.decode_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("decode_nanos", ToString::to_string(&self.decode_nanos).as_str())?;
        }
        if self.time_to_first_token_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("time_to_first_token_nanos", ToString::to_string(&self.time_to_first_token_nanos).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Timings {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "queued_nanos",
            "queuedNanos",
            "prefill_nanos",
            "prefillNanos",
            "decode_nanos",
            "decodeNanos",
            "time_to_first_token_nanos",
            "timeToFirstTokenNanos",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            QueuedNanos,
            PrefillNanos,
            DecodeNanos,
            TimeToFirstTokenNanos,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "queuedNanos" | "queued_nanos" => Ok(GeneratedField::QueuedNanos),
                            "prefillNanos" | "prefill_nanos" => Ok(GeneratedField::PrefillNanos),
                            "decodeNanos" | "decode_nanos" => Ok(GeneratedField::DecodeNanos),
                            "timeToFirstTokenNanos" | "time_to_first_token_nanos" => Ok(GeneratedField::TimeToFirstTokenNanos),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Timings;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Timings")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Timings, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut queued_nanos__ = None;
                let mut prefill_nanos__ = None;
                let mut decode_nanos__ = None;
                let mut time_to_first_token_nanos__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::QueuedNanos => {
                            if queued_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("queuedNanos"));
                            }
                            queued_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::PrefillNanos => {
                            if prefill_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("prefillNanos"));
                            }
                            prefill_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::DecodeNanos => {
                            if decode_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("decodeNanos"));
                            }
                            decode_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::TimeToFirstTokenNanos => {
                            if time_to_first_token_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("timeToFirstTokenNanos"));
                            }
                            time_to_first_token_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(Timings {
                    queued_nanos: queued_nanos__.unwrap_or_default(),
                    prefill_nanos: prefill_nanos__.unwrap_or_default(),
                    decode_nanos: decode_nanos__.unwrap_or_default(),
                    time_to_first_token_nanos: time_to_first_token_nanos__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Timings", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for TokenFrame {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.worker.is_empty() {
            len += 1;
        }
        if self.step != 0 {
            len += 1;
        }
        if self.published_at_unix_nanos != 0 {
            len += 1;
        }
        if !self.entries.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.TokenFrame", len)?;
        if !self.worker.is_empty() {
            struct_ser.serialize_field("worker", &self.worker)?;
        }
        if self.step != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("step", ToString::to_string(&self.step).as_str())?;
        }
        if self.published_at_unix_nanos != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("published_at_unix_nanos", ToString::to_string(&self.published_at_unix_nanos).as_str())?;
        }
        if !self.entries.is_empty() {
            struct_ser.serialize_field("entries", &self.entries)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for TokenFrame {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "worker",
            "step",
            "published_at_unix_nanos",
            "publishedAtUnixNanos",
            "entries",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Worker,
            Step,
            PublishedAtUnixNanos,
            Entries,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "worker" => Ok(GeneratedField::Worker),
                            "step" => Ok(GeneratedField::Step),
                            "publishedAtUnixNanos" | "published_at_unix_nanos" => Ok(GeneratedField::PublishedAtUnixNanos),
                            "entries" => Ok(GeneratedField::Entries),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = TokenFrame;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.TokenFrame")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<TokenFrame, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut worker__ = None;
                let mut step__ = None;
                let mut published_at_unix_nanos__ = None;
                let mut entries__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Worker => {
                            if worker__.is_some() {
                                return Err(serde::de::Error::duplicate_field("worker"));
                            }
                            worker__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Step => {
                            if step__.is_some() {
                                return Err(serde::de::Error::duplicate_field("step"));
                            }
                            step__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::PublishedAtUnixNanos => {
                            if published_at_unix_nanos__.is_some() {
                                return Err(serde::de::Error::duplicate_field("publishedAtUnixNanos"));
                            }
                            published_at_unix_nanos__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Entries => {
                            if entries__.is_some() {
                                return Err(serde::de::Error::duplicate_field("entries"));
                            }
                            entries__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(TokenFrame {
                    worker: worker__.unwrap_or_default(),
                    step: step__.unwrap_or_default(),
                    published_at_unix_nanos: published_at_unix_nanos__.unwrap_or_default(),
                    entries: entries__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.TokenFrame", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for TokenIds {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.ids.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.TokenIds", len)?;
        if !self.ids.is_empty() {
            struct_ser.serialize_field("ids", &self.ids)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for TokenIds {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "ids",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Ids,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "ids" => Ok(GeneratedField::Ids),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = TokenIds;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.TokenIds")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<TokenIds, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut ids__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Ids => {
                            if ids__.is_some() {
                                return Err(serde::de::Error::duplicate_field("ids"));
                            }
                            ids__ = 
                                Some(map_.next_value::<Vec<::pbjson::private::NumberDeserialize<_>>>()?
                                    .into_iter().map(|x| x.0).collect())
                            ;
                        }
                    }
                }
                Ok(TokenIds {
                    ids: ids__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.TokenIds", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for TokenLogprob {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.token_id != 0 {
            len += 1;
        }
        if self.logprob != 0. {
            len += 1;
        }
        if self.rank != 0 {
            len += 1;
        }
        if !self.token.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.TokenLogprob", len)?;
        if self.token_id != 0 {
            struct_ser.serialize_field("token_id", &self.token_id)?;
        }
        if self.logprob != 0. {
            struct_ser.serialize_field("logprob", &self.logprob)?;
        }
        if self.rank != 0 {
            struct_ser.serialize_field("rank", &self.rank)?;
        }
        if !self.token.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("token", pbjson::private::base64::encode(&self.token).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for TokenLogprob {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "token_id",
            "tokenId",
            "logprob",
            "rank",
            "token",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            TokenId,
            Logprob,
            Rank,
            Token,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "tokenId" | "token_id" => Ok(GeneratedField::TokenId),
                            "logprob" => Ok(GeneratedField::Logprob),
                            "rank" => Ok(GeneratedField::Rank),
                            "token" => Ok(GeneratedField::Token),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = TokenLogprob;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.TokenLogprob")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<TokenLogprob, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut token_id__ = None;
                let mut logprob__ = None;
                let mut rank__ = None;
                let mut token__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::TokenId => {
                            if token_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("tokenId"));
                            }
                            token_id__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Logprob => {
                            if logprob__.is_some() {
                                return Err(serde::de::Error::duplicate_field("logprob"));
                            }
                            logprob__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Rank => {
                            if rank__.is_some() {
                                return Err(serde::de::Error::duplicate_field("rank"));
                            }
                            rank__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Token => {
                            if token__.is_some() {
                                return Err(serde::de::Error::duplicate_field("token"));
                            }
                            token__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(TokenLogprob {
                    token_id: token_id__.unwrap_or_default(),
                    logprob: logprob__.unwrap_or_default(),
                    rank: rank__.unwrap_or_default(),
                    token: token__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.TokenLogprob", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for TokenLogprobs {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.chosen.is_some() {
            len += 1;
        }
        if !self.top.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.TokenLogprobs", len)?;
        if let Some(v) = self.chosen.as_ref() {
            struct_ser.serialize_field("chosen", v)?;
        }
        if !self.top.is_empty() {
            struct_ser.serialize_field("top", &self.top)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for TokenLogprobs {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "chosen",
            "top",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Chosen,
            Top,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "chosen" => Ok(GeneratedField::Chosen),
                            "top" => Ok(GeneratedField::Top),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = TokenLogprobs;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.TokenLogprobs")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<TokenLogprobs, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut chosen__ = None;
                let mut top__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Chosen => {
                            if chosen__.is_some() {
                                return Err(serde::de::Error::duplicate_field("chosen"));
                            }
                            chosen__ = map_.next_value()?;
                        }
                        GeneratedField::Top => {
                            if top__.is_some() {
                                return Err(serde::de::Error::duplicate_field("top"));
                            }
                            top__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(TokenLogprobs {
                    chosen: chosen__,
                    top: top__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.TokenLogprobs", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for ToolCall {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.id.is_empty() {
            len += 1;
        }
        if !self.name.is_empty() {
            len += 1;
        }
        if !self.arguments.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.ToolCall", len)?;
        if !self.id.is_empty() {
            struct_ser.serialize_field("id", &self.id)?;
        }
        if !self.name.is_empty() {
            struct_ser.serialize_field("name", &self.name)?;
        }
        if !self.arguments.is_empty() {
            struct_ser.serialize_field("arguments", &self.arguments)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for ToolCall {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "id",
            "name",
            "arguments",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Id,
            Name,
            Arguments,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "id" => Ok(GeneratedField::Id),
                            "name" => Ok(GeneratedField::Name),
                            "arguments" => Ok(GeneratedField::Arguments),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = ToolCall;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.ToolCall")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<ToolCall, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut id__ = None;
                let mut name__ = None;
                let mut arguments__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Id => {
                            if id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("id"));
                            }
                            id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Name => {
                            if name__.is_some() {
                                return Err(serde::de::Error::duplicate_field("name"));
                            }
                            name__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Arguments => {
                            if arguments__.is_some() {
                                return Err(serde::de::Error::duplicate_field("arguments"));
                            }
                            arguments__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(ToolCall {
                    id: id__.unwrap_or_default(),
                    name: name__.unwrap_or_default(),
                    arguments: arguments__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.ToolCall", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for ToolCallDelta {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.index != 0 {
            len += 1;
        }
        if !self.id.is_empty() {
            len += 1;
        }
        if !self.name.is_empty() {
            len += 1;
        }
        if !self.arguments.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.ToolCallDelta", len)?;
        if self.index != 0 {
            struct_ser.serialize_field("index", &self.index)?;
        }
        if !self.id.is_empty() {
            struct_ser.serialize_field("id", &self.id)?;
        }
        if !self.name.is_empty() {
            struct_ser.serialize_field("name", &self.name)?;
        }
        if !self.arguments.is_empty() {
            struct_ser.serialize_field("arguments", &self.arguments)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for ToolCallDelta {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "index",
            "id",
            "name",
            "arguments",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Index,
            Id,
            Name,
            Arguments,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "index" => Ok(GeneratedField::Index),
                            "id" => Ok(GeneratedField::Id),
                            "name" => Ok(GeneratedField::Name),
                            "arguments" => Ok(GeneratedField::Arguments),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = ToolCallDelta;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.ToolCallDelta")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<ToolCallDelta, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut index__ = None;
                let mut id__ = None;
                let mut name__ = None;
                let mut arguments__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Index => {
                            if index__.is_some() {
                                return Err(serde::de::Error::duplicate_field("index"));
                            }
                            index__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Id => {
                            if id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("id"));
                            }
                            id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Name => {
                            if name__.is_some() {
                                return Err(serde::de::Error::duplicate_field("name"));
                            }
                            name__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Arguments => {
                            if arguments__.is_some() {
                                return Err(serde::de::Error::duplicate_field("arguments"));
                            }
                            arguments__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(ToolCallDelta {
                    index: index__.unwrap_or_default(),
                    id: id__.unwrap_or_default(),
                    name: name__.unwrap_or_default(),
                    arguments: arguments__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.ToolCallDelta", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Usage {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.num_prompt_tokens != 0 {
            len += 1;
        }
        if self.num_completion_tokens != 0 {
            len += 1;
        }
        if self.num_cached_prompt_tokens != 0 {
            len += 1;
        }
        if self.num_reasoning_tokens != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.Usage", len)?;
        if self.num_prompt_tokens != 0 {
            struct_ser.serialize_field("num_prompt_tokens", &self.num_prompt_tokens)?;
        }
        if self.num_completion_tokens != 0 {
            struct_ser.serialize_field("num_completion_tokens", &self.num_completion_tokens)?;
        }
        if self.num_cached_prompt_tokens != 0 {
            struct_ser.serialize_field("num_cached_prompt_tokens", &self.num_cached_prompt_tokens)?;
        }
        if self.num_reasoning_tokens != 0 {
            struct_ser.serialize_field("num_reasoning_tokens", &self.num_reasoning_tokens)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Usage {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "num_prompt_tokens",
            "numPromptTokens",
            "num_completion_tokens",
            "numCompletionTokens",
            "num_cached_prompt_tokens",
            "numCachedPromptTokens",
            "num_reasoning_tokens",
            "numReasoningTokens",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            NumPromptTokens,
            NumCompletionTokens,
            NumCachedPromptTokens,
            NumReasoningTokens,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "numPromptTokens" | "num_prompt_tokens" => Ok(GeneratedField::NumPromptTokens),
                            "numCompletionTokens" | "num_completion_tokens" => Ok(GeneratedField::NumCompletionTokens),
                            "numCachedPromptTokens" | "num_cached_prompt_tokens" => Ok(GeneratedField::NumCachedPromptTokens),
                            "numReasoningTokens" | "num_reasoning_tokens" => Ok(GeneratedField::NumReasoningTokens),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Usage;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.Usage")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Usage, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut num_prompt_tokens__ = None;
                let mut num_completion_tokens__ = None;
                let mut num_cached_prompt_tokens__ = None;
                let mut num_reasoning_tokens__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::NumPromptTokens => {
                            if num_prompt_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numPromptTokens"));
                            }
                            num_prompt_tokens__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NumCompletionTokens => {
                            if num_completion_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numCompletionTokens"));
                            }
                            num_completion_tokens__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NumCachedPromptTokens => {
                            if num_cached_prompt_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numCachedPromptTokens"));
                            }
                            num_cached_prompt_tokens__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NumReasoningTokens => {
                            if num_reasoning_tokens__.is_some() {
                                return Err(serde::de::Error::duplicate_field("numReasoningTokens"));
                            }
                            num_reasoning_tokens__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                    }
                }
                Ok(Usage {
                    num_prompt_tokens: num_prompt_tokens__.unwrap_or_default(),
                    num_completion_tokens: num_completion_tokens__.unwrap_or_default(),
                    num_cached_prompt_tokens: num_cached_prompt_tokens__.unwrap_or_default(),
                    num_reasoning_tokens: num_reasoning_tokens__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.Usage", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for WebhookRequested {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.url.is_empty() {
            len += 1;
        }
        if !self.secret.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("jetmill.v1.WebhookRequested", len)?;
        if !self.url.is_empty() {
            struct_ser.serialize_field("url", &self.url)?;
        }
        if !self.secret.is_empty() {
            struct_ser.serialize_field("secret", &self.secret)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for WebhookRequested {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "url",
            "secret",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Url,
            Secret,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "url" => Ok(GeneratedField::Url),
                            "secret" => Ok(GeneratedField::Secret),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = WebhookRequested;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct jetmill.v1.WebhookRequested")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<WebhookRequested, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut url__ = None;
                let mut secret__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Url => {
                            if url__.is_some() {
                                return Err(serde::de::Error::duplicate_field("url"));
                            }
                            url__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Secret => {
                            if secret__.is_some() {
                                return Err(serde::de::Error::duplicate_field("secret"));
                            }
                            secret__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(WebhookRequested {
                    url: url__.unwrap_or_default(),
                    secret: secret__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("jetmill.v1.WebhookRequested", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for WorkClass {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "WORK_CLASS_UNSPECIFIED",
            Self::Interactive => "WORK_CLASS_INTERACTIVE",
            Self::Batch => "WORK_CLASS_BATCH",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for WorkClass {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "WORK_CLASS_UNSPECIFIED",
            "WORK_CLASS_INTERACTIVE",
            "WORK_CLASS_BATCH",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = WorkClass;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "WORK_CLASS_UNSPECIFIED" => Ok(WorkClass::Unspecified),
                    "WORK_CLASS_INTERACTIVE" => Ok(WorkClass::Interactive),
                    "WORK_CLASS_BATCH" => Ok(WorkClass::Batch),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
